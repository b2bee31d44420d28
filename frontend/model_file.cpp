#include "frontend/model_file.h"

#include <google/protobuf/io/coded_stream.h>

#include "frontend/graph_check.h"
#include "frontend/limits.h"
#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "frontend/opset.h"
#include "frontend/outline.h"
#include "frontend/wire.h"
#include "mezzo/error.h"

namespace mezzo::frontend {

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

ModelFile::~ModelFile() = default;
ModelFile::ModelFile(ModelFile&&) noexcept = default;
ModelFile& ModelFile::operator=(ModelFile&&) noexcept = default;

ModelFile ModelFile::read(const std::string& path, ExternalDataOptions options) {
  std::string bytes;
  ModelBytes file(path, bytes);
  check_wire_limits(bytes);
  return ModelFile(outline_of(bytes), std::move(file), path, std::move(options));
}

ModelFile ModelFile::from_bytes(std::string bytes, std::string path, ExternalDataOptions options) {
  require(static_cast<int64_t>(bytes.size()) <= kMaxFileBytes, "the model has more than ", kMaxFileBytes,
          " bytes");
  check_wire_limits(bytes);
  Outline outline = outline_of(bytes);
  return ModelFile(std::move(outline), ModelBytes(std::move(bytes)), std::move(path), std::move(options));
}

ModelFile::ModelFile(Outline outline, ModelBytes bytes, std::string path, ExternalDataOptions options)
    : outline_(std::make_unique<std::string>(std::move(outline.bytes))),
      path_(std::move(path)),
      proto_(std::make_unique<onnx::ModelProto>()) {
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const uint8_t*>(outline_->data()),
                                                static_cast<int>(outline_->size()));
  stream.SetRecursionLimit(8 * kMaxGraphDepth);
  if (!proto_->ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
    throw Error(ErrorCode::bad_input, "not a valid ONNX file", path_,
                "the file may be truncated, or not an ONNX model at all");
  auto payloads =
      std::make_shared<Payloads>(Payloads{ExternalData(path_, std::move(options)), std::move(bytes), {}});
  for (const auto& [initializer, payload] : outline.payloads)
    payloads->cut.emplace(&proto_->graph().initializer(initializer), payload);
  payloads_ = std::move(payloads);

  const onnx::ModelProto& model = *proto_;
  if (!model.has_graph())
    throw Error(ErrorCode::bad_input, "the file holds no graph", path_, "it may not be an ONNX model at all");
  if (model.ir_version() < kMinIrVersion || model.ir_version() > kMaxIrVersion)
    throw Error(ErrorCode::unsupported,
                concat("the file has IR version ", model.ir_version(), "; Mezzo reads ", kMinIrVersion,
                       " to ", kMaxIrVersion),
                path_, "export the model again with a current exporter");
  opsets_ = read_opsets(model.opset_import(), "the model");
  check_model(model);
}

}  // namespace mezzo::frontend
