// plan_stages.cpp: a segment as stages. Where rows are many enough to fill a GPU, or short, one team makes a
// whole row in one stage, and reductions over rows are added up by the teams as they go. Otherwise every pass
// is a stage whose rows are split into chunks, and a stage that combines the chunks' results.
#include <algorithm>

#include "codegen/alignment.h"
#include "codegen/cuda/stage.h"

namespace mezzo::codegen::cuda {
namespace {

using ir::Dims;

bool folds_in_16_bits(const FoldedValue& f) {
  return ir::is_low(f.result.dtype()) && (f.how == ir::Reduction::sum || f.how == ir::Reduction::prod);
}

class Planner {
 public:
  Planner(const ir::Graph& body, Segment segment, const std::vector<bool>& aliased,
          std::vector<int64_t>& scratch)
      : body_(body), s_(std::move(segment)), scratch_(scratch) {
    for (const std::vector<FoldedValue>* folds : {&s_.row, &s_.free})
      for (const FoldedValue& f : *folds)
        if (folds_in_16_bits(f)) throw Unsupported("a sum in 16 bits");
    // An output that overwrites an input must wait until no pass reads it any more.
    for (Result& r : s_.results)
      if (r.when == When::pass && aliased[static_cast<size_t>(r.output)]) r.pass = s_.passes - 1;
  }

  std::vector<Stage> run() {
    if (s_.row.empty() && s_.free.empty()) {
      Stage map = stage(s_.domain);
      map.results = s_.results;
      lay_out(body_, map);
      stages_.push_back(std::move(map));
    } else if (s_.row.empty() || !in_one_stage()) {
      split();
    }
    return std::move(stages_);
  }

 private:
  Stage stage(Dims domain) const {
    Stage st;
    st.domain = std::move(domain);
    st.folded.assign(st.domain.size(), false);
    return st;
  }

  int reserve(ir::Value v, int64_t parts) {
    int64_t bytes = parts * v.type().count() * ir::byte_size(ir::compute_type(v.dtype()));
    scratch_.push_back(device_aligned(std::max<int64_t>(bytes, 1)));
    return static_cast<int>(scratch_.size()) - 1;
  }

  // ---- whole rows by one team

  // Whether teams can add up a free reduction on their way through their rows: it folds the rows, and keeps
  // all of a row's axes or none.
  static bool is_whole(const FoldedValue& f, const Nest& nest) {
    int kept = 0, folded = 0;
    for (const Axis& a : nest.axes) {
      bool keeps = f.result.dims()[nest.dim[static_cast<size_t>(a.coordinate)]] != 1;
      if (!a.folded && keeps) return false;
      if (a.folded) (keeps ? kept : folded)++;
    }
    return kept == 0 || (folded == 0 && !f.per_row);
  }

  bool in_one_stage() {
    Stage st = stage(s_.domain);
    st.folded = s_.folded;
    st.passes = s_.passes;
    st.row = s_.row;
    st.by_teams = !s_.free.empty();  // who add up the free reductions
    for (const FoldedValue& f : s_.free) st.partial.push_back({f, -1, 1});
    for (const Result& r : s_.results)
      if (r.when != When::combine) st.results.push_back(r);
    lay_out(body_, st);
    int64_t elements = ir::element_count(s_.domain);
    // Few rows leave most of the GPU idle; reading them once per pass costs less.
    constexpr int64_t kFewThreads = 16384, kLargeDomain = 1 << 20;
    if (elements >= kLargeDomain && st.blocks * st.block < kFewThreads) return false;
    int64_t lines = 0;
    for (const PlacedFold& p : st.partial) {
      if (st.layout != Layout::team || !is_whole(p.fold, st.nest)) return false;
      if (!p.fold.per_row && p.fold.result.type().count() > 1) lines++;
    }
    if (lines > 0 && (st.held == 0 || lines * st.held * st.lanes > kHeldNumbers)) return false;
    if (st.passes > 1 && st.held > 0) st.kept = choose_kept(s_, 0, kHeldNumbers / (st.held * st.lanes));
    if (!st.partial.empty()) limit_teams(st, elements);
    auto partial = st.partial;
    stages_.push_back(std::move(st));
    if (!partial.empty()) combine(std::move(partial), false);
    return true;
  }

  // Every team leaves partial results: few enough that these are few beside what is read, all of them where
  // there are teams enough to fill a GPU, each of them where there are not.
  void limit_teams(Stage& st, int64_t elements) {
    constexpr int64_t kMostTeams = 1024, kEnoughTeams = 264, kRead = 16;  // elements for each that is left
    int64_t largest = 1, all = 0;
    for (const PlacedFold& p : st.partial) {
      largest = std::max(largest, p.fold.result.type().count());
      all += p.fold.result.type().count();
    }
    int64_t per_block = std::max(1, st.block / st.threads);
    int64_t most = std::max(std::min(elements / (kRead * largest), kEnoughTeams), elements / (kRead * all));
    most = std::clamp<int64_t>(most, 1, kMostTeams);
    st.teams = std::clamp<int64_t>(st.rows, 1, most);
    st.blocks = (st.teams + per_block - 1) / per_block;
    st.teams = st.blocks * per_block;
    for (PlacedFold& p : st.partial) {
      p.parts = st.teams;
      p.scratch = reserve(p.fold.result, p.parts);
    }
  }

  // ---- rows in chunks, a stage per pass

  // Free reductions that fold the same axes of the same domain make one stage.
  static bool alike(const FoldedValue& a, const FoldedValue& b) {
    return a.operand.dims() == b.operand.dims() && a.result.dims() == b.result.dims();
  }

  void split() {
    for (int pass = 0; pass < s_.passes; pass++) {
      std::vector<FoldedValue> row, free;
      for (const FoldedValue& f : s_.row)
        if (f.pass == pass) row.push_back(f);
      for (const FoldedValue& f : s_.free)
        if (!f.per_row && f.pass == pass) free.push_back(f);
      // The last stage that reads inputs in this pass also writes results, maybe over them.
      std::vector<std::vector<FoldedValue>> groups = grouped(free);
      if (!row.empty()) groups.push_back(row);
      bool stores = false;
      for (size_t g = 0; g < groups.size(); g++) {
        stores = g + 1 == groups.size();
        bool of_row = !row.empty() && stores;
        auto partial = fold_in_chunks(groups[g], stores ? pass : -1);
        if (of_row)
          combine(std::move(partial), true);
        else
          free_.insert(free_.end(), partial.begin(), partial.end());
      }
      if (!stores) store_pass(pass);
    }
    std::vector<FoldedValue> per_row;
    for (const FoldedValue& f : s_.free)
      if (f.per_row) per_row.push_back(f);
    for (const auto& group : grouped(per_row)) {
      auto partial = fold_in_chunks(group, -1);
      free_.insert(free_.end(), partial.begin(), partial.end());
    }
    store_rows();
    if (!free_.empty()) combine(std::move(free_), false);
  }

  static std::vector<std::vector<FoldedValue>> grouped(const std::vector<FoldedValue>& folds) {
    std::vector<std::vector<FoldedValue>> groups;
    for (const FoldedValue& f : folds) {
      auto it = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return alike(g[0], f); });
      if (it == groups.end()) it = groups.insert(groups.end(), {{}});
      it->push_back(f);
    }
    return groups;
  }

  void take_results(Stage& st, int pass) const {
    for (const Result& r : s_.results)
      if (r.when == When::pass && r.pass == pass) st.results.push_back(r);
    for (Result& r : st.results) r.pass = 0;
  }

  std::vector<PlacedFold> fold_in_chunks(const std::vector<FoldedValue>& folds, int results_of_pass) {
    Stage st = stage(folds[0].operand.dims());
    for (size_t k = 0; k < st.domain.size(); k++) st.folded[k] = st.domain[k] != folds[0].result.dims()[k];
    st.chunked = true;
    for (const FoldedValue& f : folds) st.partial.push_back({f, -1, 1});
    st.finished = finished_;
    if (results_of_pass >= 0) take_results(st, results_of_pass);
    lay_out(body_, st);
    for (PlacedFold& p : st.partial) {
      p.parts = st.chunks;
      p.scratch = reserve(p.fold.result, p.parts);
    }
    auto partial = st.partial;
    stages_.push_back(std::move(st));
    return partial;
  }

  // Results of a pass that folds nothing.
  void store_pass(int pass) {
    Stage st = stage(s_.domain);
    take_results(st, pass);
    if (st.results.empty()) return;
    st.finished = finished_;
    lay_out(body_, st);
    stages_.push_back(std::move(st));
  }

  // Results that are one number per row, when all row reductions are finished.
  void store_rows() {
    Stage st;
    for (const Result& r : s_.results)
      if (r.when == When::row) {
        st = st.results.empty() ? stage(r.value.dims()) : std::move(st);
        st.results.push_back(r);
        st.results.back().when = When::pass;
        st.results.back().pass = 0;
      }
    if (st.results.empty()) return;
    st.finished = finished_;
    lay_out(body_, st);
    stages_.push_back(std::move(st));
  }

  // Folds partial results: of rows, for the stages behind; otherwise for outputs.
  void combine(std::vector<PlacedFold> partial, bool of_row) {
    std::vector<bool> done(partial.size());
    for (size_t k = 0; k < partial.size(); k++) {
      if (done[k]) continue;
      Stage st = stage(partial[k].fold.result.dims());
      st.layout = Layout::combine;
      for (size_t j = k; j < partial.size(); j++)
        if (!done[j] && partial[j].fold.result.dims() == st.domain)
          st.partial.push_back(partial[j]), done[j] = true;
      if (of_row) {
        for (const PlacedFold& p : st.partial) st.leaves.push_back({p.fold, reserve(p.fold.result, 1), 1});
      } else {
        for (const Result& r : s_.results)
          if (r.when == When::combine && r.value.dims() == st.domain) st.results.push_back(r);
      }
      st.finished = finished_;
      lay_out(body_, st);
      finished_.insert(finished_.end(), st.leaves.begin(), st.leaves.end());
      stages_.push_back(std::move(st));
    }
  }

  // Numbers of kept values that a thread has registers for.
  static constexpr int64_t kHeldNumbers = 48;

  const ir::Graph& body_;
  Segment s_;
  std::vector<int64_t>& scratch_;
  std::vector<Stage> stages_;
  std::vector<PlacedFold> finished_, free_;
};

}  // namespace

std::vector<Stage> plan_stages(const ir::Graph& body, Segment segment, const std::vector<bool>& aliased,
                               std::vector<int64_t>& scratch_bytes) {
  return Planner(body, std::move(segment), aliased, scratch_bytes).run();
}

}  // namespace mezzo::codegen::cuda
