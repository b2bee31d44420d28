#include "codegen/cpu/jit.h"

#ifdef MEZZO_CPU_JIT
#include <llvm/ADT/StringMap.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "codegen/cpu/emit_llvm.h"
#include "codegen/cpu/generator_fingerprint.h"
#include "codegen/object_cache.h"

namespace mezzo::codegen::cpu {
namespace {

namespace orc = llvm::orc;

template <class T>
T unwrap(llvm::Expected<T> value, const char* what) {
  if (!value) throw InternalError(concat(what, ": ", llvm::toString(value.takeError())));
  return std::move(*value);
}
void unwrap(llvm::Error error, const char* what) {
  if (error) throw InternalError(concat(what, ": ", llvm::toString(std::move(error))));
}

// The machine as its feature map says, never as its name says: hypervisors show names whose features are
// masked off, and names carry tuning such as "prefer 256-bit vectors" that would undo explicit vectors.
struct Host {
  std::string triple = llvm::sys::getProcessTriple();
  std::string features;  // sorted, so that a hash map's order does not reach the cache key
  TargetTraits traits;

  Host() {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    std::vector<std::string> list;
    auto map = llvm::sys::getHostCPUFeatures();
    for (const auto& f : map) list.push_back((f.getValue() ? "+" : "-") + f.getKey().str());
    std::sort(list.begin(), list.end());
    for (const std::string& f : list) features += (features.empty() ? "" : ",") + f;
    traits.wide = map.lookup("avx512f");
    traits.lanes = traits.wide ? 16 : 8;
    traits.half = map.lookup("f16c") || llvm::StringRef(triple).starts_with("aarch64");
  }
};
const Host& host() {
  static const Host h;
  return h;
}

std::unique_ptr<llvm::TargetMachine> target_machine() {
  std::string error;
  const llvm::Target* target = llvm::TargetRegistry::lookupTarget(host().triple, error);
  if (!target) throw InternalError("no code generator for " + host().triple + ": " + error);
  return std::unique_ptr<llvm::TargetMachine>(
      target->createTargetMachine(host().triple, "", host().features, llvm::TargetOptions(),
                                  llvm::Reloc::PIC_, std::nullopt, llvm::CodeGenOptLevel::Default, true));
}

// The emitter writes what is wanted nearly as it is wanted (it vectorizes, hoists and shares values itself),
// so what is left is promoting variables and local clean-up: a fifth of the time of -O2.
void optimize(llvm::Module& module, llvm::TargetMachine& machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  llvm::FunctionPassManager passes;
  passes.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  passes.addPass(llvm::EarlyCSEPass(true));
  passes.addPass(llvm::InstCombinePass());
  passes.addPass(llvm::SimplifyCFGPass());
  for (llvm::Function& f : module)
    if (!f.isDeclaration()) passes.run(f, functions);
}

std::string compile(std::span<const KernelSource> sources, const std::string& dump) {
  llvm::LLVMContext context;
  llvm::Module module("kernels", context);
  auto machine = target_machine();
  module.setDataLayout(machine->createDataLayout());
  module.setTargetTriple(host().triple);
  LlvmEmitter emitter(module, host().traits);
  for (const KernelSource& s : sources) s.emit(emitter, s.name);
  if (!dump.empty()) {
    std::error_code error;
    llvm::raw_fd_ostream out(dump, error);
    if (!error) out << module;
  }
  std::string message;
  llvm::raw_string_ostream messages(message);
  if (llvm::verifyModule(module, &messages)) throw InternalError("generated code is malformed: " + message);
  optimize(module, *machine);
  llvm::SmallVector<char, 0> object;
  llvm::raw_svector_ostream stream(object);
  llvm::legacy::PassManager codegen;
  if (machine->addPassesToEmitFile(codegen, stream, nullptr, llvm::CodeGenFileType::ObjectFile))
    throw InternalError("no object files for " + host().triple);
  codegen.run(module);
  return {object.begin(), object.end()};
}

// What generated code calls for the conversions that the host has no instruction for.
extern "C" {
float mezzo_f64_to_bf16(double v) { return ir::bf16_to_f32(ir::f64_to_bf16(v)); }
float mezzo_f64_to_f16(double v) { return ir::f16_to_f32(ir::f64_to_f16(v)); }
float mezzo_f32_to_f16(float v) { return ir::f16_to_f32(ir::f32_to_f16(v)); }
float mezzo_f16_to_f32(uint16_t v) { return ir::f16_to_f32(v); }
uint16_t mezzo_f16_bits(float v) { return ir::f32_to_f16(v); }
}

class Kernels : public CompiledKernels {
 public:
  explicit Kernels(const std::vector<std::string>& objects, int hits) : hits_(hits) {
    jit_ = unwrap(orc::LLJITBuilder()
                      .setJITTargetMachineBuilder(orc::JITTargetMachineBuilder(llvm::Triple(host().triple)))
                      .create(),
                  "starting the JIT");
    auto& library = jit_->getMainJITDylib();
    orc::SymbolMap symbols;
    auto define = [&](const std::string& name, auto* address) {
      symbols[jit_->mangleAndIntern(name)] = {orc::ExecutorAddr::fromPtr(address),
                                              llvm::JITSymbolFlags::Exported};
    };
    define("mezzo_f64_to_bf16", &mezzo_f64_to_bf16);
    define("mezzo_f64_to_f16", &mezzo_f64_to_f16);
    define("mezzo_f32_to_f16", &mezzo_f32_to_f16);
    define("mezzo_f16_to_f32", &mezzo_f16_to_f32);
    define("mezzo_f16_bits", &mezzo_f16_bits);
    for (const ir::OpDef* op : ir::all_ops())
      if (op->scalar.real) define(concat("real.", op->name), op->scalar.real);
    unwrap(library.define(orc::absoluteSymbols(std::move(symbols))), "naming functions");
    library.addGenerator(unwrap(
        orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(jit_->getDataLayout().getGlobalPrefix()),
        "opening the process"));
    for (const std::string& o : objects)
      unwrap(jit_->addObjectFile(llvm::MemoryBuffer::getMemBufferCopy(o, "kernels")), "loading code");
  }
  KernelFunction find(const std::string& name) const override {
    return unwrap(jit_->lookup(name), "linking code").toPtr<KernelFunction>();
  }
  int cache_hits() const override { return hits_; }

 private:
  std::unique_ptr<orc::LLJIT> jit_;
  int hits_;
};

}  // namespace

bool jit_available() { return true; }
int jit_lanes() { return host().traits.lanes; }

std::unique_ptr<CompiledKernels> compile_kernels(std::vector<KernelSource> sources,
                                                 const JitOptions& options) {
  ObjectCache cache(options.cache_dir);
  host();
  // Neighbouring kernels tend to be alike in size; dealing them out keeps the modules even.
  auto modules =
      static_cast<size_t>(std::max(1, std::min<int>(options.threads, static_cast<int>(sources.size()) / 4)));
  std::vector<std::vector<KernelSource>> parts(modules);
  for (size_t i = 0; i < sources.size(); i++) parts[i % modules].push_back(std::move(sources[i]));
  std::vector<std::string> objects(modules);
  std::vector<int> hits(modules);
  std::vector<std::exception_ptr> errors(modules);
  if (!options.dump_dir.empty()) {
    std::error_code ignored;
    std::filesystem::create_directories(options.dump_dir, ignored);
  }
  auto build = [&](size_t m) noexcept {
    try {
      std::string text = concat("mezzo ", kGeneratorFingerprint, " llvm ", LLVM_VERSION_STRING, " ",
                                host().triple, " ", host().features, "\n");
      for (const KernelSource& s : parts[m]) text += s.name + ":\n" + s.text;
      const std::string key = ObjectCache::key(text), listing_key = ObjectCache::key("listing " + text);
      const std::string dump =
          options.dump_dir.empty()
              ? ""
              : (std::filesystem::path(options.dump_dir) / concat("kernels.", m, ".ll")).string();
      std::optional<std::string> object = cache.load(key), listing;
      if (!dump.empty() && object) listing = cache.load(listing_key);
      if (object && (dump.empty() || listing)) {
        if (listing) std::ofstream(dump, std::ios::binary) << *listing;
        objects[m] = std::move(*object);
        hits[m] = 1;
        return;
      }
      objects[m] = compile(parts[m], dump);
      cache.store(key, objects[m]);
      if (dump.empty()) return;
      std::ifstream written(dump, std::ios::binary);
      cache.store(listing_key, std::string{std::istreambuf_iterator<char>(written), {}});
    } catch (...) {
      errors[m] = std::current_exception();
    }
  };
  std::vector<std::thread> workers;
  for (size_t m = 1; m < modules; m++) workers.emplace_back(build, m);
  build(0);
  for (std::thread& t : workers) t.join();
  for (const std::exception_ptr& e : errors)
    if (e) std::rethrow_exception(e);
  int total = 0;
  for (int h : hits) total += h;
  return std::make_unique<Kernels>(objects, total);
}

}  // namespace mezzo::codegen::cpu

#else

namespace mezzo::codegen::cpu {
bool jit_available() { return false; }
int jit_lanes() { return 8; }
std::unique_ptr<CompiledKernels> compile_kernels(std::vector<KernelSource>, const JitOptions&) {
  throw InternalError("built without MEZZO_CPU_JIT");
}
}  // namespace mezzo::codegen::cpu

#endif
