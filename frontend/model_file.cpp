#include "frontend/model_file.h"

#include <fcntl.h>
#include <google/protobuf/io/coded_stream.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "frontend/graph_check.h"
#include "frontend/limits.h"
#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "frontend/opset.h"
#include "frontend/wire.h"
#include "mezzo/error.h"

namespace mezzo::frontend {
namespace {

std::string read_file(const std::string& path) {
  auto fail = [&](const std::string& why, std::string hint = {}) {
    throw Error(ErrorCode::bad_input, concat("cannot read '", path, "': ", why), path, std::move(hint));
  };
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail(std::strerror(errno));
  struct Close {
    int fd;
    ~Close() { ::close(fd); }
  } close{fd};
  struct stat status {};
  if (::fstat(fd, &status) != 0) fail(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail("not a regular file");
  if (status.st_size == 0) fail("the file is empty");
  if (status.st_size > kMaxFileBytes)
    fail(concat(status.st_size, " bytes; a model file has at most ", kMaxFileBytes),
         "save the weights as external data, beside the model");
  std::string bytes(static_cast<size_t>(status.st_size), '\0');
  for (size_t done = 0; done < bytes.size();) {
    ssize_t got = ::read(fd, bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail(got < 0 ? std::strerror(errno) : "the file became shorter while it was read");
    done += static_cast<size_t>(got);
  }
  return bytes;
}

}  // namespace

Opsets read_opsets(const google::protobuf::RepeatedPtrField<onnx::OperatorSetIdProto>& imports,
                   std::string_view where) {
  Opsets opsets;
  for (const auto& import : imports) {
    std::string domain = canonical_domain(import.domain());
    require(is_clean_text(domain), where, " imports an operator set whose domain is not text");
    require(opsets.emplace(domain, import.version()).second, where, " imports the operator set '",
            printable(domain), "' twice");
    if (!domain.empty()) continue;
    if (import.version() < kMinOpset || import.version() > kMaxOpset)
      throw Error(ErrorCode::unsupported,
                  concat(where, " uses operator set ", import.version(), "; Mezzo reads ", kMinOpset, " to ",
                         kMaxOpset),
                  "", "export the model again with another opset_version");
  }
  return opsets;
}

ModelFile::ModelFile() = default;
ModelFile::~ModelFile() = default;
ModelFile::ModelFile(ModelFile&&) noexcept = default;
ModelFile& ModelFile::operator=(ModelFile&&) noexcept = default;

ModelFile ModelFile::read(const std::string& path, ExternalDataOptions options) {
  return from_bytes(read_file(path), path, std::move(options));
}

ModelFile ModelFile::from_bytes(std::string bytes, std::string path, ExternalDataOptions options) {
  require(static_cast<int64_t>(bytes.size()) <= kMaxFileBytes, "the model has more than ", kMaxFileBytes,
          " bytes");
  check_wire_limits(bytes);
  ModelFile file;
  file.proto_ = std::make_unique<onnx::ModelProto>();
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const uint8_t*>(bytes.data()),
                                                static_cast<int>(bytes.size()));
  stream.SetRecursionLimit(8 * kMaxGraphDepth);
  if (!file.proto_->ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
    throw Error(ErrorCode::bad_input, "not a valid ONNX file", path,
                "the file may be truncated, or not an ONNX model at all");
  file.bytes_ = std::make_unique<std::string>(std::move(bytes));
  file.external_ = std::make_unique<ExternalData>(path, std::move(options));
  file.path_ = std::move(path);

  const onnx::ModelProto& model = *file.proto_;
  if (!model.has_graph())
    throw Error(ErrorCode::bad_input, "the file holds no graph", file.path_,
                "it may not be an ONNX model at all");
  if (model.ir_version() < kMinIrVersion || model.ir_version() > kMaxIrVersion)
    throw Error(ErrorCode::unsupported,
                concat("the file has IR version ", model.ir_version(), "; Mezzo reads ", kMinIrVersion,
                       " to ", kMaxIrVersion),
                file.path_, "export the model again with a current exporter");
  file.opsets_ = read_opsets(model.opset_import(), "the model");
  check_model(model);
  return file;
}

}  // namespace mezzo::frontend
