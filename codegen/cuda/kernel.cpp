// kernel.cpp: a kernel body as functions. All segments advance together: their first stages are one launch,
// then their second ones; the blocks of a launch are shared out over the sections. Sections with equal text
// (the same update of many parameters of one shape) are one device function that gets its pointers by the
// number of the block.
#include <algorithm>
#include <map>

#include "codegen/cuda/section.h"
#include "codegen/cuda/source.h"

namespace mezzo::codegen::cuda {

std::string declaration(const Parameter& p, std::string_view name) {
  return p.fetched ? concat("const ", p.type, "* __restrict__ ", name) : concat(p.type, "* ", name);
}

namespace {

// Limits of one function: parameters are pointers and may take 4 KiB; compilers take long over long
// functions.
constexpr size_t kMostParameters = 480, kMostTexts = 32;

std::string argument_name(int argument) {
  return argument < 0 ? concat("t", -1 - argument) : concat("a", argument);
}

// Sections of equal text.
struct Group {
  std::vector<const Section*> sections;
  const Section& first() const { return *sections[0]; }
};

class FunctionWriter {
 public:
  explicit FunctionWriter(std::string name) : name_(std::move(name)) {}

  bool takes(const Section& s) const {
    if (s.threads != threads_ && threads_ != 0) return false;
    size_t more = 0;
    for (const Parameter& p : s.parameters) more += parameters_.count(p.argument) == 0;
    return parameters_.size() + more <= kMostParameters && (find(s) || groups_.size() < kMostTexts);
  }

  void add(const Section& s) {
    threads_ = s.threads;
    room_ = std::max(room_, s.room_bytes);
    blocks_ += s.blocks;
    for (const Parameter& p : s.parameters) {
      auto [it, made] = parameters_.emplace(p.argument, p);
      if (!made && !p.fetched) it->second.fetched = false;
    }
    if (Group* g = find(s))
      g->sections.push_back(&s);
    else
      groups_.push_back({{&s}});
  }

  void write(KernelSource& out) {
    check(blocks_ < (int64_t{1} << 31), "a launch of ", blocks_, " blocks");
    for (size_t g = 0; g < groups_.size(); g++) write_device_function(out.text, g);
    FunctionLaunch launch{name_, {static_cast<unsigned>(blocks_)}, {static_cast<unsigned>(threads_)}, 0, {}};
    std::string list;
    for (const auto& [argument, p] : parameters_) {
      list += concat(list.empty() ? "" : ", ", declaration(p, argument_name(argument)));
      launch.arguments.push_back(argument);
    }
    out.text += concat("KERNEL(", threads_, ")\n", name_, "(", list, ") {\n");
    if (room_ > 0) out.text += concat("  SHARED(u64, room, ", (room_ + 7) / 8, ");\n");
    out.text += "  const i32 block = block_number();\n";
    int64_t first = 0;
    for (size_t g = 0; g < groups_.size(); g++) {
      int64_t blocks = groups_[g].first().blocks * static_cast<int64_t>(groups_[g].sections.size());
      if (groups_.size() > 1) out.text += concat(g ? "  else " : "  ", "if (block < ", first + blocks, ") ");
      out.text += "{\n";
      write_calls(out.text, g, first);
      out.text += "  }\n";
      first += blocks;
    }
    out.text += "}\n";
    out.launches.push_back(std::move(launch));
  }

 private:
  Group* find(const Section& s) const {
    for (const Group& g : groups_) {
      const Section& f = g.first();
      bool same = f.text == s.text && f.blocks == s.blocks && f.parameters.size() == s.parameters.size();
      for (size_t i = 0; same && i < s.parameters.size(); i++)
        same = f.parameters[i].name == s.parameters[i].name && f.parameters[i].type == s.parameters[i].type &&
               f.parameters[i].fetched == s.parameters[i].fetched;
      if (same) return const_cast<Group*>(&g);
    }
    return nullptr;
  }

  std::string section_name(size_t g) const { return concat(name_, "_", g); }

  void write_device_function(std::string& text, size_t g) const {
    const Section& s = groups_[g].first();
    text += concat("DEVICE void ", section_name(g), "(const i32 block, u64* room");
    for (const Parameter& p : s.parameters) text += ", " + declaration(p, p.name);
    text += ") {\n" + s.text + "}\n";
  }

  void write_calls(std::string& text, size_t g, int64_t first) const {
    const Group& group = groups_[g];
    const Section& s = group.first();
    std::string block = first ? concat("block - ", first) : "block", call = section_name(g) + "(", pointers;
    bool one = group.sections.size() == 1;
    if (!one) {
      text += concat("    const i32 which = (", block, ") / ", s.blocks, ";\n");
      block = concat("(", block, ") % ", s.blocks);
      for (const Parameter& p : s.parameters)
        text += concat("    ", p.fetched ? "const " : "", p.type, "* ", p.name, ";\n");
      choose(text, group, 0, group.sections.size(), 4);
    }
    for (const Parameter& p : s.parameters) pointers += ", " + (one ? argument_name(p.argument) : p.name);
    text += concat("    ", call, block, ", ", room_ > 0 ? "room" : "nullptr", pointers, ");\n");
  }

  // Pointers of section number `which`, found by halving.
  void choose(std::string& text, const Group& group, size_t begin, size_t end, size_t indent) const {
    std::string margin(indent, ' ');
    if (end - begin == 1) {
      text += margin;
      for (const Parameter& p : group.sections[begin]->parameters)
        text += concat(p.name, " = ", argument_name(p.argument), "; ");
      text.back() = '\n';
      return;
    }
    size_t middle = (begin + end) / 2;
    text += concat(margin, "if (which < ", middle, ") {\n");
    choose(text, group, begin, middle, indent + 2);
    text += margin + "} else {\n";
    choose(text, group, middle, end, indent + 2);
    text += margin + "}\n";
  }

  std::string name_;
  std::map<int, Parameter> parameters_;  // by argument
  std::vector<Group> groups_;
  int threads_ = 0;
  int64_t blocks_ = 0, room_ = 0;
};

std::string describe(const Stage& st) {
  std::string kind = st.row.empty() && st.partial.empty() ? "map"
                     : st.chunked || st.row.empty()       ? "fold"
                                                          : "row";
  std::string text = concat(kind, " x", st.lanes);
  if (st.layout == Layout::team) text += concat(", ", st.threads, " threads");
  if (st.layout == Layout::columns) text += concat(", ", st.width, " by ", st.height, " threads");
  if (st.chunked) text += concat(", ", st.chunks, " chunks");
  return text;
}

}  // namespace

KernelSource emit_kernel(const ir::Node& kernel, int number) {
  check(ir::is_kernel(kernel), "emit_kernel on ", kernel.op().name);
  Overlaps overlap = overlaps(kernel);
  bool free = std::find(overlap.outputs.begin(), overlap.outputs.end(), true) == overlap.outputs.end();
  KernelSource out;
  KernelContext context{kernel.body.get(), overlap.inputs};
  std::vector<std::vector<Section>> phases;
  auto segments = find_segments(*kernel.body, free);
  for (Segment& s : segments) {
    std::vector<Stage> stages = plan_stages(*kernel.body, std::move(s), overlap.outputs, out.scratch_bytes);
    if (out.detail.empty() && !stages.empty()) out.detail = describe(stages[0]);
    for (size_t p = 0; p < stages.size(); p++) {
      if (phases.size() <= p) phases.resize(p + 1);
      if (stages[p].blocks > 0) phases[p].push_back(write_section(context, stages[p]));
    }
  }
  if (segments.size() > 1) out.detail += concat(", ", segments.size(), " segments");
  for (const std::vector<Section>& phase : phases) {
    std::vector<FunctionWriter> functions;
    for (const Section& s : phase) {
      auto it = std::find_if(functions.begin(), functions.end(),
                             [&](const FunctionWriter& f) { return f.takes(s); });
      if (it == functions.end()) {
        size_t n = out.launches.size() + functions.size();
        it = functions.insert(functions.end(), FunctionWriter(concat("k", number, "_", n)));
      }
      it->add(s);
    }
    for (FunctionWriter& f : functions) f.write(out);
  }
  return out;
}

}  // namespace mezzo::codegen::cuda
