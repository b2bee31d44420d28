// depth_space.cpp: ONNX DepthToSpace (pixel shuffle) and SpaceToDepth: blocks of channels to blocks of pixels
// and back.
#include "ir/build.h"
#include "ir/op.h"

namespace mezzo::ir {
namespace {

// The block's extent; checks what both ops ask of input and attributes.
int64_t block_of(const Node& n) {
  require(n.in_type(0).rank() == 4, "input ", to_string(n.in_type(0).dims), " must be [N, C, H, W]");
  const int64_t block = n.i("blocksize");
  require(block >= 1 && block < (int64_t{1} << 31), "blocksize ", block, " must be at least 1");
  require(n.s("mode") == "DCR" || n.s("mode") == "CRD", "mode '", n.s("mode"), "' is neither DCR nor CRD");
  return block;
}

const std::vector<AttrSpec> kAttrs = {{"blocksize", 0, AttrSpec::required}, {"mode", "DCR"}};

const OpDef depth_to_space = {
    .name = "DepthToSpace",
    .attrs = kAttrs,
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const int64_t b = block_of(n);
      const Dims& x = n.in_type(0).dims;
      require(x[1] % (b * b) == 0, "blocksize ", b, " squared does not divide ", x[1], " channels");
      const Dims out{x[0], x[1] / (b * b), x[2] * b, x[3] * b};
      element_count(out);
      return {{n.in_type(0).dtype, out}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const int64_t b = block_of(n);
      const Dims& x = in[0].dims();
      const int64_t channels = x[1] / (b * b);
      // The block's row and column stand before (DCR) or behind (CRD) the channel that remains.
      Value blocks = n.s("mode") == "DCR"
                         ? transpose(reshape(in[0], {x[0], b, b, channels, x[2], x[3]}), {0, 3, 4, 1, 5, 2})
                         : transpose(reshape(in[0], {x[0], channels, b, b, x[2], x[3]}), {0, 1, 4, 2, 5, 3});
      return {reshape(blocks, n.type().dims)};
    },
};
MEZZO_REGISTER_OP(depth_to_space);

const OpDef space_to_depth = {
    .name = "SpaceToDepth",
    .attrs = kAttrs,
    .precision = Precision::pass,
    .meaning = Meaning::expand,
    .infer = [](const Node& n) -> std::vector<Type> {
      const int64_t b = block_of(n);
      const Dims& x = n.in_type(0).dims;
      require(x[2] % b == 0 && x[3] % b == 0, "blocksize ", b, " does not divide the extents ", x[2], " and ",
              x[3]);
      const Dims out{x[0], element_count({x[1], b, b}), x[2] / b, x[3] / b};
      element_count(out);
      return {{n.in_type(0).dtype, out}};
    },
    .expand = [](Graph&, const Node& n, const Values& in) -> Values {
      const int64_t b = block_of(n);
      const Dims& x = in[0].dims();
      Value blocks = reshape(in[0], {x[0], x[1], x[2] / b, b, x[3] / b, b});
      const Ints order = n.s("mode") == "DCR" ? Ints{0, 3, 5, 1, 2, 4} : Ints{0, 1, 3, 5, 2, 4};
      return {reshape(transpose(blocks, order), n.type().dims)};
    },
};
MEZZO_REGISTER_OP(space_to_depth);

}  // namespace
}  // namespace mezzo::ir
