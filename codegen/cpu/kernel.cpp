#include "codegen/cpu/kernel.h"

#include <algorithm>
#include <array>

#include "codegen/alignment.h"
#include "codegen/cpu/segment_plan.h"
#include "codegen/object_cache.h"

namespace mezzo::codegen::cpu {
namespace {

// Buffers a segment may have; their addresses go onto the stack of every thread.
constexpr size_t kMostBuffers = 512;

}  // namespace

// A segment's functions and where its buffers are.
struct Part {
  std::string name;
  std::vector<size_t> arguments;     // of the kernel, by buffer
  std::vector<int64_t> partials;     // offsets into the launch's scratch
  int64_t kept = 0, kept_bytes = 0;  // the same, for the first thread; then one after the other
  int64_t tasks = 0;
  bool has_combine = false;
  KernelFunction run = nullptr, combine = nullptr;
};

class KernelLaunch : public Launch {
 public:
  KernelLaunch(const ir::Node& kernel, std::string name, KernelSet& set) : threads_(set.threads_) {
    auto aliased = overlaps(kernel).outputs;
    auto segments =
        find_segments(*kernel.body, std::find(aliased.begin(), aliased.end(), true) == aliased.end());
    std::unordered_map<const ir::Node*, size_t> number;
    for (const auto& n : kernel.body->nodes())
      if (ir::is_input(*n)) number.emplace(n.get(), number.size());
    std::vector<std::shared_ptr<const SegmentPlan>> plans;
    for (Segment& s : segments)
      plans.push_back(std::make_shared<const SegmentPlan>(*kernel.body, std::move(s), aliased, jit_lanes()));
    int64_t flops = 0;
    for (const auto& plan : plans) {
      Part part;
      part.name = "s" + ObjectCache::key(plan->text());
      for (const ir::Node* n : plan->inputs()) part.arguments.push_back(number.at(n));
      for (const Result& r : plan->segment.results)
        part.arguments.push_back(kernel.input_count() + static_cast<size_t>(r.output));
      if (part.arguments.size() + plan->segment.free.size() + 1 > kMostBuffers)
        throw Unsupported("too many buffers");
      for (size_t k = 0; k < plan->segment.free.size(); k++) {
        part.partials.push_back(scratch_bytes);
        scratch_bytes +=
            host_aligned(plan->partial_count(k) * ir::byte_size(accumulator_type(plan->segment.free[k])));
      }
      part.kept = scratch_bytes;
      part.kept_bytes = host_aligned(plan->kept_bytes());
      scratch_bytes += part.kept_bytes * threads_.count;
      part.tasks = plan->tasks;
      part.has_combine = plan->has_combine();
      work_ += plan->work;
      tasks_ += part.tasks;
      flops += plan->elements * plan->nest.operations;
      parts_.push_back(std::move(part));
    }
    for (size_t i = 0; i < plans.size(); i++) {
      auto plan = plans[i];
      std::string text = plan->text();
      auto add = [&](std::string function, auto emit) {
        set.sources_.try_emplace(
            function, KernelSource{function, text, [plan, emit](LoopEmitter& e, const std::string& f) {
                                     emit(*plan, e, f);
                                   }});
      };
      add(parts_[i].name, emit_tasks);
      if (plan->has_combine()) add(parts_[i].name + ".c", emit_combine);
    }
    info = describe(kernel, std::move(name), detail(plans));
    info.flops = flops;
  }

  void link(const CompiledKernels& code) {
    for (Part& p : parts_) {
      p.run = code.find(p.name);
      if (p.has_combine) p.combine = code.find(p.name + ".c");
    }
  }

  void run(std::byte* const* arguments, std::byte* scratch) override {
    int64_t count = threads_.worth(work_) ? std::min<int64_t>(threads_.count, tasks_) : 1;
    if (count <= 1) {
      range(arguments, scratch, 0, 0, tasks_);
    } else {
#pragma omp parallel for num_threads(static_cast <int>(count)) schedule(static, 1)
      for (int64_t t = 0; t < count; t++)
        range(arguments, scratch, t, tasks_ * t / count, tasks_ * (t + 1) / count);
    }
    for (const Part& p : parts_)
      if (p.combine) call(p, p.combine, arguments, scratch, 0, 0, 1);
  }

 private:
  static std::string detail(const std::vector<std::shared_ptr<const SegmentPlan>>& plans) {
    const SegmentPlan& p = *plans[0];
    std::string kind = !p.segment.row.empty() ? "row" : !p.segment.free.empty() ? "fold" : "map";
    std::string text = concat("jit ", kind, " x", p.nest.vector < 0 ? 1 : p.lanes);
    if (plans.size() > 1) text += concat(", ", plans.size(), " segments");
    return text;
  }

  // Tasks [begin, end) of all segments, one after the other.
  void range(std::byte* const* arguments, std::byte* scratch, int64_t thread, int64_t begin,
             int64_t end) const {
    int64_t first = 0;
    for (const Part& p : parts_) {
      int64_t lo = std::max<int64_t>(begin - first, 0), hi = std::min(end - first, p.tasks);
      if (lo < hi) call(p, p.run, arguments, scratch, thread, lo, hi);
      first += p.tasks;
    }
  }

  static void call(const Part& p, KernelFunction f, std::byte* const* arguments, std::byte* scratch,
                   int64_t thread, int64_t lo, int64_t hi) {
    std::array<std::byte*, kMostBuffers> buffers;
    size_t n = 0;
    for (size_t a : p.arguments) buffers[n++] = arguments[a];
    for (int64_t offset : p.partials) buffers[n++] = scratch + offset;
    buffers[n++] = scratch + p.kept + thread * p.kept_bytes;
    f(buffers.data(), lo, hi);
  }

  Threads threads_;
  std::vector<Part> parts_;
  int64_t tasks_ = 0, work_ = 0;
};

std::unique_ptr<Launch> KernelSet::add(const ir::Node& kernel, std::string name) {
  auto launch = std::make_unique<KernelLaunch>(kernel, std::move(name), *this);
  launches_.push_back(launch.get());
  return launch;
}

void KernelSet::compile() {
  if (launches_.empty()) return;
  std::vector<KernelSource> sources;
  for (auto& [name, source] : sources_) sources.push_back(std::move(source));
  sources_.clear();
  std::shared_ptr<const CompiledKernels> code = compile_kernels(std::move(sources), options_);
  code_ = code;
  for (KernelLaunch* launch : launches_) launch->link(*code);
  launches_.clear();
}

}  // namespace mezzo::codegen::cpu
