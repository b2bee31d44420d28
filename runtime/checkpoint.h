// checkpoint.h: the whole state of a training in one file, from which it goes on bit for bit.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "runtime/session.h"

namespace mezzo::runtime {

// A checkpoint is a safetensors file: every state of the session as a tensor under its name, and in the
// metadata, under "mezzo", JSON with the trained names, the number of random draws, an XXH3 hash per tensor,
// the hash of the model file, and what the caller adds; under "mezzo.hash" the hash of that JSON. So every
// bit that matters is covered.

// Atomic: an existing file is replaced only by a complete one. `run` is the caller's own text.
void write_checkpoint(const std::string& path, const Session& session, const std::string& run);
// Puts the session, whose model must be the same file, into the saved state; returns the caller's text.
// Throws Error(bad_input), before anything was changed, for a damaged file or one of another model.
std::string read_checkpoint(const std::string& path, Session& session);

// A folder of checkpoints, step-N.safetensors.
class CheckpointFolder {
 public:
  // Makes the folder. `keep`: how many checkpoints stay, the newest ones.
  CheckpointFolder(std::string path, int64_t keep);
  void write(int64_t step, const Session& session, const std::string& run) const;
  // Loads the newest one that is whole; `complain` hears of those that are not. Nothing when there is none.
  std::optional<std::string> read_newest(Session& session,
                                         const std::function<void(const std::string&)>& complain) const;

 private:
  std::vector<std::pair<int64_t, std::string>> files() const;  // newest first
  std::string path_;
  int64_t keep_;
};

}  // namespace mezzo::runtime
