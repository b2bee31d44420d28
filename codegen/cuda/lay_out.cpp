// lay_out.cpp: the loops of a stage, and which threads run them.
#include <algorithm>
#include <bit>

#include "codegen/cuda/own_kernels.h"
#include "codegen/cuda/stage.h"

namespace mezzo::codegen::cuda {
namespace {

constexpr int kBlock = 256, kWarp = 32, kMostThreads = 1024;
constexpr int kMostLanes = 8;

int64_t power_of_2(int64_t least) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(least, 1))));
}

// What the stage computes, and the shapes of what it moves beside the inputs.
struct Work {
  ir::Values roots, known;
  std::vector<ir::Dims> written;

  explicit Work(const Stage& st) {
    for (const FoldedValue& f : st.row) roots.push_back(f.operand), known.push_back(f.result);
    for (const PlacedFold& p : st.finished) {
      known.push_back(p.fold.result);
      written.push_back(p.fold.result.dims());  // read, that is: its axes are no others' neighbours
    }
    for (const PlacedFold& p : st.partial) {
      roots.push_back(p.fold.operand);
      written.push_back(p.fold.result.dims());
    }
    for (const Result& r : st.results) {
      roots.push_back(r.value);
      written.push_back(r.value.dims());
    }
  }
};

// Lanes with which the smallest of the large operands moves 16 bytes at a time.
int most_lanes(const ir::Graph& body, const Stage& st) {
  int64_t elements = ir::element_count(st.domain);
  int size = 8;
  auto see = [&](const ir::Type& t) {
    if (t.count() * 2 > elements) size = std::min(size, ir::byte_size(t.dtype));
  };
  for (const auto& n : body.nodes())
    if (ir::is_input(*n)) see(n->type());
  for (const Result& r : st.results) see(r.value.type());
  return std::min(kMostLanes, 16 / size);
}

void plan_team(Stage& st) {
  st.layout = Layout::team;
  int64_t wanted = st.chunked ? st.steps : 0;
  if (st.chunked) {
    // Chunks enough to fill the GPU, and none with less than a few steps per thread.
    st.threads = static_cast<int>(std::min<int64_t>(power_of_2(st.steps), kBlock));
    constexpr int64_t kSteps = 4, kMostChunks = 1024;
    int64_t threads = std::max<int64_t>(1, kManyThreads / std::max<int64_t>(st.rows * st.threads, 1));
    st.chunks = std::clamp<int64_t>(std::min(threads, st.steps / (st.threads * kSteps)), 1, kMostChunks);
    st.chunk_steps = quotient_up(std::max<int64_t>(wanted, 1), st.chunks);
    st.chunks = std::max<int64_t>(1, quotient_up(st.steps, st.chunk_steps));
  } else {
    int64_t per_thread = st.rows >= 2048 ? 4 : 1;
    st.threads = static_cast<int>(std::min<int64_t>(power_of_2(st.steps), kWarp));
    while (st.threads < kMostThreads && st.steps > st.threads * per_thread) st.threads *= 2;
    constexpr int64_t kHeld = 32;
    while (st.threads < kMostThreads && st.steps * st.lanes > st.threads * kHeld) st.threads *= 2;
    int64_t held = quotient_up(st.steps, st.threads);
    bool lines = std::any_of(st.partial.begin(), st.partial.end(),
                             [](const PlacedFold& p) { return !p.fold.per_row; });
    if (held > 0 && held * st.lanes <= kHeld && (st.passes > 1 || lines)) st.held = held;
  }
  st.teams = st.rows * st.chunks;
  bool many = st.teams * st.threads >= kManyThreads;
  st.block = std::max(st.threads, many ? 128 : kWarp);
  st.blocks = quotient_up(st.teams, st.block / st.threads);
}

void plan_columns(Stage& st) {
  int64_t columns = st.rows;  // vectors of rows
  bool alone = !st.chunked && (st.steps <= 16 || (columns >= kManyThreads / 2 && st.steps <= 64));
  constexpr int64_t kHeld = 32;
  if (alone) {
    st.layout = Layout::solo;
    if (st.passes > 1 && st.steps * st.lanes <= kHeld && st.steps > 0) st.held = st.steps;
    st.block = static_cast<int>(std::clamp<int64_t>(power_of_2(columns), kWarp, kBlock));
    st.teams = columns;
    // Several loads in flight for each thread of a grid that is large all the same.
    constexpr int64_t kLargeBody = 12;
    while (st.row.empty() && st.repeat < 4 && st.nest.operations < kLargeBody &&
           columns >= 4 * kManyThreads * st.repeat)
      st.repeat *= 2;
    st.blocks = quotient_up(columns, static_cast<int64_t>(st.block) * st.repeat);
    return;
  }
  st.layout = Layout::columns;
  int64_t others = columns / std::max<int64_t>(st.vectors, 1);
  st.width = static_cast<int>(std::min<int64_t>(kWarp, power_of_2(st.vectors)));
  int64_t strips = quotient_up(st.vectors, st.width) * others;
  int64_t threads = !st.chunked && st.steps > 256 && strips < 256 ? 512 : kBlock;
  // Higher and narrower, where a thread's steps then fit its registers and a row of threads still reads whole
  // sectors.
  int64_t holding = power_of_2(quotient_up(st.steps * st.lanes, kHeld));
  if (!st.chunked && st.passes > 1 && holding <= 256 && holding * st.width > threads) {
    threads = 512;
    st.width = static_cast<int>(std::min<int64_t>(st.width, threads / holding));
    strips = quotient_up(st.vectors, st.width) * others;
  }
  st.height = static_cast<int>(std::min(power_of_2(st.steps), threads / st.width));
  if (st.chunked) {
    constexpr int64_t kSteps = 8, kMostChunks = 1024;
    int64_t wanted = kManyThreads / std::max<int64_t>(strips * st.width * st.height, 1);
    st.chunks = std::clamp<int64_t>(std::min(wanted, st.steps / (st.height * kSteps)), 1, kMostChunks);
    st.chunk_steps = quotient_up(std::max<int64_t>(st.steps, 1), st.chunks);
    st.chunks = std::max<int64_t>(1, quotient_up(st.steps, st.chunk_steps));
  } else {
    int64_t held = quotient_up(st.steps, st.height);
    if (st.passes > 1 && held > 0 && held * st.lanes <= kHeld) st.held = held;
  }
  st.block = st.width * st.height;
  st.threads = st.height;
  st.teams = strips * st.chunks;
  st.blocks = st.teams;
}

void plan_combine(Stage& st) {
  int64_t count = ir::element_count(st.domain), parts = 1;
  for (const PlacedFold& p : st.partial) parts = std::max(parts, p.parts);
  st.nest.at = coordinates(st.domain);
  for (size_t k = 0; k < st.domain.size(); k++) st.nest.dim.push_back(k);
  st.rows = count;
  st.width = static_cast<int>(std::min<int64_t>(kWarp, power_of_2(count)));
  st.height = static_cast<int>(std::min<int64_t>(power_of_2(parts), kBlock / st.width));
  st.block = st.width * st.height;
  st.blocks = quotient_up(count, st.width);
}

}  // namespace

void lay_out(const ir::Graph& body, Stage& st) {
  if (st.layout == Layout::combine) return plan_combine(st);
  Work work(st);
  int lanes = most_lanes(body, st);
  st.nest = plan_nest(body, st.domain, st.folded, work.roots, work.written, work.known, lanes);
  if (st.by_teams)
    for (size_t i = 0; i < st.nest.axes.size(); i++)
      if (st.nest.axes[i].folded) st.nest.vector = static_cast<int>(i);
  bool folds = std::find(st.folded.begin(), st.folded.end(), true) != st.folded.end() &&
               (!st.row.empty() || st.chunked);
  st.rows = st.steps = 1;
  for (size_t i = 0; i < st.nest.axes.size(); i++) {
    const Axis& a = st.nest.axes[i];
    if (static_cast<int>(i) == st.nest.vector) continue;
    (a.folded ? st.inner : st.outer).push_back(a);
    (a.folded ? st.steps : st.rows) *= a.extent;
  }
  st.lanes = 1;
  if (st.nest.vector >= 0) {
    int64_t extent = st.axis().extent;
    bool flat = !folds && st.outer.empty() && extent >= 64 * lanes;  // what remains is done one by one
    st.lanes = lanes;
    while (!flat && extent % st.lanes != 0) st.lanes /= 2;
    st.vectors = extent / st.lanes;
    (st.lanes_in_row() ? st.steps : st.rows) *= st.vectors;
  }
  if (folds && (st.lanes_in_row() || st.nest.vector < 0)) return plan_team(st);
  plan_columns(st);
}

}  // namespace mezzo::codegen::cuda
