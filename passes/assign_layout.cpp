// assign_layout.cpp: convolutions work on channels-last storage, and transposes sink until they meet and
// cancel.
//
// One walk in topological order. A value v of the old graph is known in the new one as Stored{base, perm}: v
// is Transpose(base, perm), which is made only when somebody needs v as it was. Convolutions turn their
// activations to channels-last and hand out a stored result; ops that can work on stored operands (scalar
// ops, and those with a `permuted` rule: reductions, windows, slices, pads ...) do so and hand the
// permutation on.
#include <algorithm>
#include <map>
#include <numeric>
#include <unordered_map>

#include "ir/build.h"
#include "ir/op.h"
#include "passes/passes.h"

namespace mezzo::passes {
namespace {

using ir::Ints;
using ir::Node;
using ir::Value;
using ir::Values;

Ints identity(size_t rank) {
  Ints perm(rank);
  std::iota(perm.begin(), perm.end(), 0);
  return perm;
}
bool is_identity(const Ints& perm) { return perm == identity(perm.size()); }

// v = Transpose(base, perm).
struct Stored {
  Value base;
  Ints perm;
};

// (v as Transpose(x, first)) as Transpose(., second): axis k of the result is axis first[second[k]] of x.
Ints compose(const Ints& first, const Ints& second) {
  Ints out;
  for (int64_t s : second) out.push_back(first[static_cast<size_t>(s)]);
  return out;
}

// NCHW as a transposition of NHWC: axis 1 (C) is the last stored one.
Ints channels_last_perm(size_t rank) {
  Ints perm = identity(rank);
  perm[1] = static_cast<int64_t>(rank) - 1;
  for (size_t i = 2; i < rank; i++) perm[i] = static_cast<int64_t>(i) - 1;
  return perm;
}

// Transposes v; where only extents of 1 change place, that is a Reshape, which costs nothing.
Value moved(Value v, const Ints& perm) {
  Ints kept;
  ir::Dims dims;
  for (int64_t p : perm) {
    dims.push_back(v.dims()[static_cast<size_t>(p)]);
    if (dims.back() != 1) kept.push_back(p);
  }
  return std::is_sorted(kept.begin(), kept.end()) ? ir::reshape(v, dims) : ir::transpose(v, perm);
}

// A Reshape from `from` to `to` that only drops or adds extents of 1 keeps the storage order: the permutation
// of the result, leading units in front and the others at the end. Nothing for other Reshapes and plain
// storage.
std::optional<Ints> without_units(const Stored& s, const ir::Dims& from, const ir::Dims& to) {
  if (is_identity(s.perm)) return std::nullopt;
  std::vector<size_t> old_axes, new_axes;  // those that are not units
  for (size_t i = 0; i < from.size(); i++)
    if (from[i] != 1) old_axes.push_back(i);
  for (size_t i = 0; i < to.size(); i++)
    if (to[i] != 1) new_axes.push_back(i);
  if (old_axes.size() != new_axes.size() || new_axes.empty()) return std::nullopt;
  for (size_t i = 0; i < old_axes.size(); i++)
    if (from[old_axes[i]] != to[new_axes[i]]) return std::nullopt;
  std::vector<size_t> order(old_axes.size());  // positions in old_axes, as stored
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return s.perm[old_axes[a]] < s.perm[old_axes[b]]; });
  Ints perm(to.size());
  int64_t next = 0;
  for (size_t i = 0; i < new_axes[0]; i++) perm[i] = next++;
  for (size_t k : order) perm[new_axes[k]] = next++;
  for (size_t i = new_axes[0]; i < to.size(); i++)
    if (to[i] == 1) perm[i] = next++;
  return perm;
}

class Layouter {
 public:
  std::optional<Values> operator()(ir::Graph& to, const Node& node, const Values& inputs) {
    return build(to, node, inputs);
  }

 private:
  // How the value standing for an input of the old graph is stored. rewrite() passes the plain value made for
  // it; the stored form is kept beside it under that value's identity.
  Stored stored(Value plain) const {
    auto it = stored_.find(plain);
    return it != stored_.end() ? it->second : Stored{plain, identity(plain.dims().size())};
  }

  // The value in storage order `perm`: Transpose(result, perm) is it.
  Value as_stored(Value plain, const Ints& perm) {
    const Stored s = stored(plain);
    if (s.perm == perm) return s.base;
    Value& cached = converted_[{plain.node->id(), plain.index, perm}];
    if (!cached) {
      ir::Scope scope(plain.node->graph(), *plain.node);
      cached = moved(s.base, compose(s.perm, ir::inverse(perm)));
    }
    return cached;
  }

  // Makes the plain value of Transpose(base, perm); it dies if nobody needs it.
  Value hand_out(Value base, const Ints& perm) {
    if (is_identity(perm)) return base;
    Value plain = moved(base, perm);
    if (plain != base) stored_[plain] = {base, perm};
    return plain;
  }

  Values build(ir::Graph& to, const Node& node, const Values& inputs) {
    if (!node.op().channel_inputs.empty() && node.i("channels_last") == 0)
      return convolution(to, node, inputs);
    if (ir::is_transpose(node)) {
      const Stored s = stored(inputs[0]);
      return {hand_out(s.base, compose(s.perm, ir::permutation_of(node)))};
    }
    if (ir::is_reshape(node)) {
      const Stored s = stored(inputs[0]);
      if (std::optional<Ints> perm = without_units(s, inputs[0].dims(), node.type().dims)) {
        ir::Dims dims(perm->size());
        for (size_t k = 0; k < dims.size(); k++) dims[static_cast<size_t>((*perm)[k])] = node.type().dims[k];
        return {hand_out(ir::reshape(s.base, dims), *perm)};
      }
    }
    if (node.op().meaning == ir::Meaning::scalar) return elementwise(to, node, inputs);
    if (node.op().permuted && !inputs.empty()) {
      // All operands in the order of the first that is stored differently.
      for (Value v : inputs) {
        const Stored s = stored(v);
        Ints out_perm;
        if (is_identity(s.perm) || s.perm.size() != inputs[0].dims().size()) continue;
        std::optional<ir::Attrs> attrs = node.op().permuted(node, s.perm, &out_perm);
        if (!attrs) break;
        Values args;
        for (Value w : inputs) args.push_back(as_stored(w, s.perm));
        Node* made = to.add(node.op(), args, std::move(*attrs));
        Values out;
        for (int k = 0; k < made->output_count(); k++) out.push_back(hand_out(made->out(k), out_perm));
        return out;
      }
    }
    return ir::copy_node(to, node, inputs);
  }

  Values convolution(ir::Graph& to, const Node& node, const Values& inputs) {
    const Ints perm =
        channels_last_perm(inputs[static_cast<size_t>(node.op().channel_inputs[0])].dims().size());
    Values args = inputs;
    for (int i : node.op().channel_inputs) {
      auto at = static_cast<size_t>(i);
      args[at] = as_stored(args[at], perm);
    }
    ir::Attrs attrs = node.attrs();
    attrs["channels_last"] = int64_t{1};
    if (node.op().channel_output && node.has_attr("shape")) {
      Ints shape(perm.size());
      for (size_t k = 0; k < perm.size(); k++) shape[static_cast<size_t>(perm[k])] = node.ints("shape")[k];
      attrs["shape"] = shape;
    }
    Value out = to.add(node.op(), args, std::move(attrs))->out();
    return {node.op().channel_output ? hand_out(out, perm) : out};
  }

  // Works in the order that moves the fewest bytes of full-size operands; at a tie, in the stored one.
  Values elementwise(ir::Graph& to, const Node& node, const Values& inputs) {
    const ir::Dims& dims = node.type().dims;
    auto is_full = [&](Value v) { return v && v.dims() == dims; };
    Ints best = identity(dims.size());
    int64_t best_cost = -1;
    auto consider = [&](const Ints& perm) {
      int64_t cost = 0;
      for (Value v : inputs)
        if (is_full(v) && stored(v).perm != perm) cost += v.type().bytes();
      if (best_cost < 0 || cost < best_cost) {
        best = perm;
        best_cost = cost;
      }
    };
    for (Value v : inputs)
      if (is_full(v) && !is_identity(stored(v).perm)) consider(stored(v).perm);
    consider(identity(dims.size()));
    if (is_identity(best)) return ir::copy_node(to, node, inputs);
    Values args;
    for (Value v : inputs) {
      if (v && v.rank() > 0) {
        ir::Dims padded(dims.size() - v.dims().size(), 1);
        padded.insert(padded.end(), v.dims().begin(), v.dims().end());
        v = v.dims() == padded ? as_stored(v, best) : moved(ir::reshape(v, padded), ir::inverse(best));
      }
      args.push_back(v);
    }
    return {hand_out(to.add(node.op(), args, node.attrs())->out(), best)};
  }

  std::unordered_map<Value, Stored, ir::ValueHash> stored_;  // looked up only
  std::map<std::tuple<int, int, Ints>, Value> converted_;
};

}  // namespace

void assign_layout(Graph& graph, const Options& options) {
  bool any = false;
  for (auto& node : graph.nodes()) any |= !node->op().channel_inputs.empty();
  if (!options.channels_last || !any) return;
  Layouter layouter;
  graph = ir::rewrite(graph, std::ref(layouter));
}

}  // namespace mezzo::passes
