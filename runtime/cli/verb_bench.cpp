// mezzo bench: how long a step takes, on random data.
#include <algorithm>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "runtime/cli/terminal.h"
#include "runtime/cli/verbs.h"
#include "runtime/feeds.h"
#include "runtime/session.h"

namespace mezzo::cli {
namespace {

using Json = nlohmann::ordered_json;

// Floats from a normal distribution, integers below `limit` (class ids, positions).
ir::Tensor random_tensor(const ir::Type& type, int64_t limit, std::mt19937_64& random) {
  ir::Tensor t(type);
  std::normal_distribution<double> normal;
  std::uniform_int_distribution<int64_t> integer(0, std::max<int64_t>(1, limit) - 1);
  for (int64_t i = 0; i < t.count(); i++) {
    if (ir::is_float(type.dtype))
      t.set(i, normal(random));
    else
      t.set_int(i, integer(random));
  }
  return t;
}

// Largest resident size of this process so far; 0 where the kernel does not tell. Not getrusage's, which a
// process inherits from the one that started it.
int64_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (int64_t kilobytes = 0; word == "VmHWM:" && status >> kilobytes) return kilobytes * 1024;
  return 0;
}

Json kernels_json(const runtime::Compiled& c, const std::vector<int64_t>& ns, int64_t steps) {
  Json out = Json::array();
  for (size_t i = 0; i < ns.size(); i++) {
    auto& l = c.program->launches()[i];
    out.push_back({{"name", l.name},
                   {"detail", l.detail},
                   {"phase", std::string(ir::name(l.phase))},
                   {"origin", l.origin},
                   {"us", static_cast<double>(ns[i]) / 1e3 / static_cast<double>(steps)},
                   {"bytes", l.bytes},
                   {"flops", l.flops}});
  }
  return out;
}

std::string kernel_table(const runtime::Compiled& c, const std::vector<int64_t>& ns, int64_t steps) {
  Table table({"launch", "phase", "detail", ">us", ">%", ">GB/s", ">GFLOP/s", "from"});
  std::vector<size_t> order(ns.size());
  for (size_t i = 0; i < order.size(); i++) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ns[a] > ns[b]; });
  double total = 1;
  for (int64_t t : ns) total += static_cast<double>(t);
  for (size_t i : order) {
    auto& l = c.program->launches()[i];
    double t = std::max<double>(1, static_cast<double>(ns[i]) / static_cast<double>(steps));
    table.row({l.name, std::string(ir::name(l.phase)), l.detail, number_text(t / 1e3),
               number_text(100 * static_cast<double>(ns[i]) / total, 3),
               number_text(static_cast<double>(l.bytes) / t, 3),
               number_text(static_cast<double>(l.flops) / t, 3), l.origin.empty() ? "" : l.origin.front()});
  }
  return table.str();
}

int bench(const Flags& flags) {
  const int64_t libraries = peak_bytes();
  CompileOptions options = compile_options(flags);
  auto model = std::make_shared<runtime::LoadedModel>(flags.model);
  runtime::Session session(model, options);
  runtime::Arrays feeds;
  if (!flags.feed.empty()) feeds = runtime::read_npz(flags.feed);
  const runtime::Signature signature = flags.feed.empty()
                                           ? required_signature(*model, options, flags.batch)
                                           : runtime::signature_of(*model, feeds, options.loss, true);
  const runtime::Compiled& c = session.prepare(signature, runtime::Purpose::train);

  std::mt19937_64 random(flags.seed);
  if (!flags.feed.empty()) feeds = runtime::bind_feeds(*c.program, feeds);
  for (auto& port : c.program->inputs())
    if (!feeds.count(port.name))
      feeds.emplace(port.name,
                    random_tensor(port.type, port.name == options.loss.labels ? c.classes : 2, random));
  // A GPU raises its clock while it works.
  const int warm_up = options.device == Device::cuda ? 10 : 3;
  std::vector<double> ms;
  for (int64_t i = 0; i < flags.steps + warm_up; i++) {
    if (!session.is_under_way()) {
      if (!session.has_staged()) session.stage({feeds});
      session.start();
    }
    if (session.on_device()) session.stage({feeds});
    if (session.may_start_ahead()) session.start();
    const double t = session.finish().ms;
    if (i >= warm_up) ms.push_back(t);
  }
  while (session.is_under_way()) session.finish();
  const size_t nodes = c.program->graph_nodes();
  // Timers around every launch cost time of their own, so the table comes from steps apart.
  std::vector<int64_t> ns;
  int64_t timed = std::min<int64_t>(flags.steps, 10);
  for (int64_t i = 0; i < timed; i++) session.step_timed(feeds, ns);

  std::sort(ms.begin(), ms.end());
  double median = (ms[(ms.size() - 1) / 2] + ms[ms.size() / 2]) / 2;
  if (flags.json) {
    Json out{{"model", flags.model},
             {"precision", flags.precision},
             {"device", flags.device},
             {"batch", signature.samples()},
             {"steps", flags.steps},
             {"ms_min", ms.front()},
             {"ms_median", median},
             {"ms_max", ms.back()},
             {"samples_per_second", 1e3 * static_cast<double>(signature.samples()) / median},
             {"compile_ms", c.milliseconds},
             {"planned_bytes", c.memory.total()},
             {"peak_bytes", peak_bytes()},
             {"libraries_bytes", libraries},
             {"graph_nodes", nodes},
             {"kernels", kernels_json(c, ns, timed)}};
    std::cout << out.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
    return 0;
  }
  std::cout << kernel_table(c, ns, timed) << "\nms per step   min " << number_text(ms.front()) << "  median "
            << number_text(median) << "  max " << number_text(ms.back()) << "  (" << flags.steps << " steps, "
            << number_text(1e3 * static_cast<double>(signature.samples()) / median)
            << " samples/s)\ncompiled in   " << number_text(c.milliseconds) << " ms\nplanned       "
            << bytes_text(c.memory.total()) << "\npeak          " << bytes_text(peak_bytes())
            << "  (resident, whole process; " << bytes_text(libraries)
            << " of it before the model was read)\n";
  if (nodes > 0) std::cout << "device graph  " << nodes << " kernels and copies\n";
  return 0;
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand("bench", "milliseconds per step, on random data or on a batch");
  auto flags = std::make_shared<Flags>();
  flags->steps = 20;
  add_model(*verb, *flags);
  auto* batch = verb->add_option("--batch", flags->batch, "samples per step")->check(CLI::Range(1, 1 << 30));
  verb->add_option("--feed", flags->feed, ".npz with inputs and labels to use instead of random ones")
      ->excludes(batch);
  verb->add_option("--steps", flags->steps, "steps to time")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  add_optimizer_flags(*verb, *flags);
  add_compile_flags(*verb, *flags, true);
  add_json(*verb, *flags);
  verb->callback([flags, &action] { action = [flags] { return bench(*flags); }; });
}

}  // namespace mezzo::cli
