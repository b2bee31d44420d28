// debug.h: the one debug switch, MEZZO_DEBUG=passes,time,dump=DIR,stop=PASS (docs/debugging.md lists the
// words).
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace mezzo::ir {

// The words of the switch: flags ("passes") and settings ("stop=fuse").
class Debug {
 public:
  explicit Debug(std::string_view text);  // unknown words are kept: a layer above may know them
  bool has(std::string_view word) const { return words_.find(word) != words_.end(); }
  std::string get(std::string_view word) const;  // "" when it is absent or a flag
 private:
  std::map<std::string, std::string, std::less<>> words_;
};

// The environment's value, read once.
const Debug& debug();

}  // namespace mezzo::ir
