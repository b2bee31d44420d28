#include "codegen/cuda/dnn_descriptor.h"

#include "mezzo/error.h"

namespace mezzo::codegen::cuda {

Descriptor::Descriptor(const CudnnApi& api, int type) : api_(api) {
  done(api_.cudnnBackendCreateDescriptor(type, &handle_), "making a descriptor");
}

Descriptor::~Descriptor() {
  if (handle_) api_.cudnnBackendDestroyDescriptor(handle_);
}

// The last error's text is the only place that says why; reading it clears it.
void Descriptor::done(int status, const std::string& what) const {
  if (status == 0) return;
  char text[1024] = "";
  api_.cudnnGetLastErrorString(text, sizeof text);
  throw DnnRefusal(concat("cuDNN: ", what, ": ", api_.cudnnGetErrorString(status), *text ? ": " : "", text));
}

Descriptor& Descriptor::set(int name, int type, const void* values, int64_t count) {
  done(api_.cudnnBackendSetAttribute(handle_, name, type, count, values), concat("setting attribute ", name));
  return *this;
}

Descriptor& Descriptor::finish(const char* what) {
  done(api_.cudnnBackendFinalize(handle_), what);
  return *this;
}

int64_t Descriptor::integer(int name) const {
  int64_t value = 0, count = 0;
  done(api_.cudnnBackendGetAttribute(handle_, name, kDnnTypeInt64, 1, &count, &value),
       concat("reading ", name));
  return value;
}

std::string Descriptor::text(int name) const {
  int64_t count = 0;
  done(api_.cudnnBackendGetAttribute(handle_, name, kDnnTypeChar, 0, &count, nullptr),
       concat("reading ", name));
  std::string out(static_cast<size_t>(count), '\0');
  done(api_.cudnnBackendGetAttribute(handle_, name, kDnnTypeChar, count, &count, out.data()),
       concat("reading ", name));
  return out;
}

std::vector<int> Descriptor::enums(int name, int type, int64_t most) const {
  std::vector<int> out(static_cast<size_t>(most));
  int64_t count = 0;
  done(api_.cudnnBackendGetAttribute(handle_, name, type, most, &count, out.data()),
       concat("reading ", name));
  out.resize(static_cast<size_t>(std::min(count, most)));
  return out;
}

std::vector<Descriptor> Descriptor::list(int name, int type, int64_t most) const {
  std::vector<Descriptor> out;
  std::vector<DnnDescriptor> handles;
  for (int64_t i = 0; i < most; i++) handles.push_back(out.emplace_back(api_, type).handle());
  int64_t count = 0;
  done(api_.cudnnBackendGetAttribute(handle_, name, kDnnTypeDescriptor, most, &count, handles.data()),
       concat("reading list ", name));
  while (static_cast<int64_t>(out.size()) > count) out.pop_back();
  return out;
}

}  // namespace mezzo::codegen::cuda
