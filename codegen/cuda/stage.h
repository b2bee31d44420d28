// stage.h: how a GPU runs one segment of a kernel body: stages, each a pass of one grid over a domain.
#pragma once
#include "codegen/loops.h"

namespace mezzo::codegen::cuda {

// Who handles a row. `solo`: each thread a vector of rows (or, without row axes, of elements). `team`:
// neighbouring threads share a row that lies side by side in memory. `columns`: the rows lie side by side; a
// block takes `width` vectors of them and shares out their elements over `height` threads each.
enum class Layout : uint8_t { solo, team, columns, combine };

// A reduction with a place in a scratch buffer: `parts` partial results, or its finished one.
struct PlacedFold {
  FoldedValue fold;
  int scratch = -1;
  int64_t parts = 1;
};

// Everything here depends on shapes only, and with it the order of every sum.
struct Stage {
  Layout layout = Layout::solo;
  ir::Dims domain;
  std::vector<bool> folded;  // dims that a row extends along
  int passes = 1;
  std::vector<FoldedValue> row;  // finished within the row, by pass
  std::vector<PlacedFold>
      partial;  // one partial result per chunk of a row, or per team; combine: finished here
  std::vector<PlacedFold> finished;  // results that an earlier stage left
  std::vector<PlacedFold> leaves;    // combine: of `partial`, those that later stages need
  std::vector<Result> results;
  bool by_teams = false;  // lanes go along rows, whatever else is near in memory
  bool chunked = false;   // `partial` folds exactly the row axes; no row reductions

  Nest nest;
  int lanes = 1;
  std::vector<Axis> outer, inner;  // loops over rows and within a row, the lanes' axis among neither
  int64_t vectors = 1;             // of `lanes` neighbours along the lanes' axis
  int64_t rows = 1;                // items: rows, or vectors of rows
  int64_t steps = 1;               // elements of a row, or vectors of them
  int64_t chunks = 1, chunk_steps = 1;
  int64_t teams = 1;          // teams, or blocks of columns, of all rows and chunks
  int threads = 1;            // of a team
  int width = 1, height = 1;  // columns and combine
  int block = 256;            // threads of a block
  int repeat = 1;             // solo: vectors that a thread handles one after the other
  int64_t blocks = 1;
  int64_t held = 0;  // steps of one thread, where their values are held in arrays; 0: they are not
  std::vector<KeptValue> kept;

  bool lanes_in_row() const { return nest.vector >= 0 && axis().folded; }
  const Axis& axis() const { return nest.axes[static_cast<size_t>(nest.vector)]; }
};

// The stages of a segment, in order. `aliased`: outputs of the body that overwrite inputs. Scratch buffers
// are appended to `scratch_bytes`.
std::vector<Stage> plan_stages(const ir::Graph& body, Segment segment, const std::vector<bool>& aliased,
                               std::vector<int64_t>& scratch_bytes);

// Chooses layout and loops of a stage whose first part is filled in.
void lay_out(const ir::Graph& body, Stage& stage);

}  // namespace mezzo::codegen::cuda
