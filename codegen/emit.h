// emit.h: the one walk over kernel bodies. A Walk generates the code of values on demand, at coordinates
// given as expressions of loop coordinates, down to loads; an Emitter spells the single operations of one
// target.
#pragma once
#include <span>
#include <stdexcept>
#include <unordered_map>

#include "ir/op.h"

namespace mezzo::codegen {

// A body outside of the contract (codegen/README.md), or outside of what the generators do. Callers interpret
// it.
class Unsupported : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A value the target holds in a register (or a named variable). Numbers are the Emitter's own.
struct Reg {
  int id = -1;
  explicit operator bool() const { return id >= 0; }
  bool operator==(const Reg&) const = default;
};

// Coordinates from this one on are computed indices (ir::Lookup), which the walk numbers and binds. Loops use
// smaller ones.
inline constexpr int kComputed = 1024;

// Operations of a target. 16-bit floats are held as f32 of the same value: loads widen, casts to them round.
class Emitter {
 public:
  virtual ~Emitter() = default;
  virtual Reg constant(ir::DType type, ir::Number value) = 0;
  // One machine operation (not Code::program); `operand` is the type of the first operand.
  virtual Reg apply(ir::Code code, ir::DType type, ir::DType operand, std::span<const Reg> operands) = 0;
  // The f64 form of a composed function.
  virtual Reg call_real(const ir::OpDef& op, std::span<const Reg> operands) = 0;
  // A number made of loop coordinates, as an integer type.
  virtual Reg number(const ir::Expr& value, ir::DType type) = 0;
  // 0 <= value < extent, and `also` (when given).
  virtual Reg inside(const ir::Condition& condition, Reg also) = 0;
  // Element `offset` of a buffer of `count` elements. Where `when` (if given) is false nothing is read there
  // and the result is any number.
  virtual Reg load(int buffer, ir::DType type, const ir::Expr& offset, int64_t count, Reg when) = 0;
  // `coordinate`, kComputed or greater and new, stands for `index` in expressions: an i64, or one per lane.
  virtual void bind(int coordinate, Reg index) = 0;
  // From now on code goes to the end of what stands in scope `depth` (0 = the function) before the scope
  // inside it. Returns the depth before.
  virtual int go_to(int depth) = 0;
};

// Generates values of one body. Equal values at equal coordinates are generated once, as far out as their
// coordinates allow: scopes are numbered from 0 (the function) inwards.
class Walk {
 public:
  Walk(Emitter& emitter, const ir::Graph& body);

  // The buffer an Input of the body is read from; otherwise its position among the inputs.
  void set_buffer(const ir::Node& input, int buffer) { input_number_[&input] = buffer; }

  // Scope bookkeeping: a new innermost scope, in which `coordinates` vary; and its end.
  void open(std::span<const int> coordinates);
  void close();
  int depth() const { return static_cast<int>(scopes_.size()) - 1; }

  // The value of `v` at coordinates `at` (one per dim of v).
  Reg value(ir::Value v, const ir::Exprs& at, Reg when = {});

  // Says what a reduction's result is, wherever it is asked for, until the current scope closes.
  void define(ir::Value v, Reg reg);
  // Says that `v` at `at` stands in a buffer, as its compute type, for all scopes opened from now on in this
  // one.
  void define_stored(ir::Value v, const ir::Exprs& at, int buffer, const ir::Expr& offset, int64_t count);

 private:
  struct Key {
    ir::Value v;
    ir::Exprs at;
    Reg when;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key&) const;
  };
  struct Stored {
    Key key;
    int buffer;
    ir::Expr offset;
    int64_t count;
  };
  struct Test {
    ir::Condition condition;
    Reg also, result;
  };
  struct Computed {
    Reg index;
    int64_t extent;
    ir::Expr coordinate;
  };
  struct Scope {
    std::vector<int> coordinates;                 // those that vary in it, and those bound in it
    std::unordered_map<Key, Reg, KeyHash> known;  // looked up only
    std::vector<std::pair<ir::Value, Reg>> defined;
    std::vector<Stored> stored;
    std::vector<Test> tests;
    std::vector<Computed> computed;
  };

  int depth_of(const ir::Expr& e) const;
  int depth_of(const Key& key) const;
  Reg generate(const Key& key);
  Reg scalar(const ir::Node& n, const Key& key);
  Reg moved(const ir::Node& n, const Key& key);
  ir::Expr looked_up(ir::Value indices, const ir::Exprs& at, Reg when, int64_t extent);
  Reg run(const ir::Program& program, std::vector<Reg> values);
  Reg test(const ir::Condition& c, Reg also);
  const Stored* stored(const Key& key) const;
  bool is_known(const Key& key) const;
  std::vector<Key> operands_of(const Key& key) const;
  void from_the_leaves_up(const Key& key);

  Emitter& emitter_;
  std::vector<Scope> scopes_;
  std::unordered_map<const ir::Node*, int> input_number_;
  std::unordered_map<int, int> test_depth_;  // by register made by test()
  int nesting_ = 0;                          // depth of value() inside itself
  std::vector<bool> reduced_;                // by node id: depends on a reduction
  int computed_ = kComputed;                 // the next one
};

// What a value read from a 1-element constant is.
ir::Number number_of(const ir::Tensor& one);
// The coordinates of an operand of shape `from` when its result of shape `to` is at `at` (numpy
// broadcasting).
ir::Exprs broadcast_coordinates(const ir::Exprs& at, const ir::Dims& from);
// Coordinates of a whole tensor: one loop coordinate per dim, numbered from `first`; 0 where the extent is 1.
ir::Exprs coordinates(const ir::Dims& dims, int first = 0);
// Whether 32 bits hold the expression and everything inside it.
bool fits_in_32_bits(const ir::Expr&);

}  // namespace mezzo::codegen
