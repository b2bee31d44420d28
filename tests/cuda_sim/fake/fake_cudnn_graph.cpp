// fake_cudnn_graph.cpp: the part that the fake cuDNN looks up by name, as the real one does with its parts.
// It knows the version, and where it lies itself. FAKE_CUDNN_VERSION (default 91900) is the version it tells.
#include <dlfcn.h>

#include <cstddef>
#include <cstdlib>

extern "C" {

size_t fake_cudnn_version() {
  const char* told = std::getenv("FAKE_CUDNN_VERSION");
  return told ? static_cast<size_t>(std::atol(told)) : 91900;
}
const char* fake_cudnn_part() {
  Dl_info info{};
  dladdr(reinterpret_cast<const void*>(&fake_cudnn_part), &info);
  return info.dli_fname;
}
}
