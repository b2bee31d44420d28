// dnn_descriptor.h: descriptors of cuDNN's backend API: typed attributes, owned handles, errors with the
// library's words.
#pragma once
#include <stdexcept>
#include <string>
#include <vector>

#include "codegen/cuda/cudnn_api.h"

namespace mezzo::codegen::cuda {

// What the library refuses: it cannot do it, or not on this device. `status` is its code.
class DnnRefusal : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Descriptor {
 public:
  Descriptor(const CudnnApi& api, int type);
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : api_(other.api_), handle_(other.handle_) {
    other.handle_ = nullptr;
  }
  Descriptor& operator=(Descriptor&&) = delete;

  Descriptor& set(int name, int type, const void* values, int64_t count);
  Descriptor& set(int name, int64_t v) { return set(name, kDnnTypeInt64, &v, 1); }
  Descriptor& set(int name, const std::vector<int64_t>& v) {
    return set(name, kDnnTypeInt64, v.data(), static_cast<int64_t>(v.size()));
  }
  Descriptor& set(int name, const Descriptor& v) { return set(name, kDnnTypeDescriptor, &v.handle_, 1); }
  // An enum of the library: `type` says which.
  Descriptor& set_enum(int name, int type, int v) { return set(name, type, &v, 1); }
  Descriptor& set_text(int name, const std::string& v) {
    return set(name, kDnnTypeChar, v.data(), static_cast<int64_t>(v.size()));
  }
  // Throws DnnRefusal.
  Descriptor& finish(const char* what);

  int64_t integer(int name) const;
  std::string text(int name) const;
  std::vector<int> enums(int name, int type, int64_t most) const;
  // Up to `most` descriptors of one type out of an attribute. (Asking for their number first overstates it.)
  std::vector<Descriptor> list(int name, int type, int64_t most) const;
  DnnDescriptor handle() const { return handle_; }

 private:
  void done(int status, const std::string& what) const;
  const CudnnApi& api_;
  DnnDescriptor handle_ = nullptr;
};

}  // namespace mezzo::codegen::cuda
