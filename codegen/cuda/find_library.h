// find_library.h: where NVIDIA's libraries are on this machine. Nothing of CUDA is linked: what is there is
// opened.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mezzo::codegen::cuda {

// Which files are the library. `sonames` are the accepted ones, newest first; a soname's number is the major
// version.
struct LibrarySpec {
  std::string name;                  // in messages: "NVRTC"
  std::string stem;                  // "libnvrtc"
  std::vector<std::string> sonames;  // "libnvrtc.so.13", ...
  bool part_of_driver = false;       // installed with the driver: never in wheels or toolkits
  // Parts that it opens by name when it first needs them, and cannot do without: "libcudnn_graph.so.9". A
  // library that has such parts is used with those beside it, or not at all.
  std::vector<std::string> parts = {};
};

// What the search reads of its surroundings; tests give their own.
struct Environment {
  std::function<std::string(const char*)> variable;  // "" when it is not set
  std::string root;  // before the absolute folders of the search: "" or a test's
  static Environment of_process();
};

// A file to try. `how` says which rule of the search found it. After a file the user chose (MEZZO_CUDA_PATH)
// nothing else is tried: a wrong choice must be an error, not a silent use of something else.
struct Candidate {
  std::string path;  // absolute, or a soname that the system's loader looks up
  std::string how;
  bool chosen = false;
  bool loaded_only = false;  // counts only if the process has it open already
};

// The files to try, in order: MEZZO_CUDA_PATH, open already, Python wheels, conda, the system's loader,
// CUDA_PATH and CUDA_HOME, the usual folders.
std::vector<Candidate> candidates(const LibrarySpec& spec, const Environment& environment);

// An open library, or why there is none.
struct Library {
  void* handle = nullptr;  // never closed: threads and callbacks of NVIDIA's libraries may outlive every user
  std::string path, how;   // path as the loader resolved it
  std::string version;     // "13.0"
  std::vector<std::string> lacks;     // optional symbols it does not have
  std::vector<std::string> attempts;  // "file: why not", of those tried before or without success
  explicit operator bool() const { return handle != nullptr; }
};

// Opens the first candidate that `accept` takes; `accept` looks up symbols in the handle, sets what it learns
// in the library (version, lacks) and returns "" or why it refuses. Its parts are open before `accept` sees
// it.
Library find_library(const LibrarySpec& spec, const Environment& environment,
                     const std::function<std::string(Library&)>& accept);

}  // namespace mezzo::codegen::cuda
