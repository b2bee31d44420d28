// index.h: integer expressions over loop coordinates, kept in a linear normal form, and the index maps of movement ops.
// A movement op (Transpose, Slice, Pad, Window ...) gives one function from output to input coordinates; the evaluator
// interprets the map, code generators turn it into addresses.
#pragma once
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ir/type.h"

namespace mezzo::ir {

// constant + sum of coefficient * atom. An atom is a coordinate (with its extent: 0 <= coordinate < extent), or the
// floor quotient or the remainder of another expression by a positive constant. Arithmetic simplifies by ranges, so that
// e.g. (4*i + j) / 4 with 0 <= j < 4 becomes i. Immutable and cheap to copy.
class Expr {
 public:
  enum class AtomKind : uint8_t { coordinate, quotient, remainder };
  struct Atom {
    AtomKind kind;
    int64_t number = 0;  // coordinate: its number; otherwise: the divisor
    int64_t extent = 0;  // coordinate: its extent
    std::shared_ptr<const Expr> of;  // quotient, remainder: the dividend
    bool operator==(const Atom& other) const;
    bool operator<(const Atom& other) const;
  };
  struct Term {
    int64_t coefficient;
    Atom atom;
  };

  Expr(int64_t constant = 0) : constant_(constant) {}  // NOLINT: numbers are expressions
  static Expr coordinate(int number, int64_t extent);

  int64_t constant() const { return constant_; }
  const std::vector<Term>& terms() const { return terms_; }
  bool is_constant() const { return terms_.empty(); }
  int64_t min() const;  // least and greatest value over all coordinates (conservative)
  int64_t max() const;
  // Coefficient of coordinate `number`, provided it occurs in no quotient or remainder; nullopt otherwise.
  std::optional<int64_t> stride(int number) const;
  bool uses(int number) const;
  int64_t evaluate(const std::vector<int64_t>& coordinates) const;
  // Replaces coordinate k by `by[k]`.
  Expr substitute(const std::vector<Expr>& by) const;
  std::string to_string() const;  // "4*i0 + i1/2 + 3"; for dumps and errors

  bool operator==(const Expr&) const;
  friend Expr operator+(const Expr&, const Expr&);
  friend Expr operator-(const Expr&, const Expr&);
  friend Expr operator*(const Expr&, int64_t);
  friend Expr floor_div(const Expr&, int64_t divisor);  // divisor > 0
  friend Expr floor_mod(const Expr&, int64_t divisor);  // divisor > 0; result in [0, divisor)

 private:
  void add_term(int64_t coefficient, const Atom& atom);
  int64_t constant_ = 0;
  std::vector<Term> terms_;  // sorted by atom, no zero coefficient
};
using Exprs = std::vector<Expr>;

// Row-major linearisation of coordinates and its inverse.
Expr linearize(const Exprs& coordinates, const Dims& dims);
Exprs delinearize(const Expr& offset, const Dims& dims);

// 0 <= value < extent.
struct Condition {
  Expr value;
  int64_t extent;
  bool always() const { return value.min() >= 0 && value.max() < extent; }
};

// A coordinate that input `input`, of integers, holds at `at`. Below 0 it counts from the end; what still names nothing
// is brought to the nearer end, so that reading is safe whatever the data is.
struct Lookup {
  size_t axis;  // of the access
  size_t input;
  Exprs at;
};
// The coordinate that `index` stands for in an extent.
inline int64_t looked_up(int64_t index, int64_t extent) {
  return std::clamp<int64_t>(index < 0 ? index + extent : index, 0, extent - 1);
}

// Reads input `input` at `at` where all conditions hold. Lookups replace coordinates of `at`; conditions do not see them.
struct Access {
  size_t input;
  Exprs at;
  std::vector<Condition> when = {};
  std::vector<Lookup> lookups = {};
};

// What one output element of a movement op is: the first access whose conditions hold, else `fill`. `value` is for
// Iota, whose element is a number made of its coordinates.
struct IndexMap {
  std::vector<Access> accesses;
  double fill = 0;
  std::optional<Expr> value = {};
};

}  // namespace mezzo::ir
