#include "frontend/attributes.h"

#include <algorithm>
#include <array>

#include "frontend/knowledge.h"
#include "frontend/names.h"
#include "frontend/onnx.pb.h"
#include "frontend/tensor_reader.h"

namespace mezzo::frontend {
namespace {

using ir::Attr;
using ir::AttrSpec;

enum Kind : int { kFloat = 1, kInt, kString, kTensor, kGraph, kFloats, kInts, kStrings, kTensors, kGraphs };

// Files of IR version 2 and older leave the kind out: it follows from the field.
int kind_of(const onnx::AttributeProto& a) {
  if (a.type() != 0) return a.type();
  if (a.has_f()) return kFloat;
  if (a.has_i()) return kInt;
  if (a.has_s()) return kString;
  if (a.has_t()) return kTensor;
  if (a.has_g()) return kGraph;
  if (a.floats_size()) return kFloats;
  if (a.ints_size()) return kInts;
  return a.strings_size() ? kStrings : 0;
}

// What an attribute that the record lacks may say without changing the result.
struct Harmless {
  std::string_view name;
  std::optional<int64_t> integer;  // this value only; nullopt: any
  std::string_view text = {};
};
constexpr std::array<Harmless, 12> kHarmless{
    {{"output_sequence", std::nullopt},  // which outputs a layer of opset 1 gives
     {"consumed_inputs", std::nullopt},  // memory hint of opset 1
     {"saturate", std::nullopt},         // of casts to 8-bit floats
     {"stash_type", 1},                  // statistics in f32: always so
     {"noop_with_empty_axes", 0},
     {"select_last_index", 0},
     {"ceil_mode", 0},
     {"storage_order", 0},
     {"allowzero", 0},
     {"training_mode", 0},
     {"seed", std::nullopt},  // draws come from Mezzo's own key
     {"auto_pad", 0, "NOTSET"}}};

bool harmless(std::string_view name, const Attr& value) {
  for (const Harmless& h : kHarmless) {
    if (h.name != name) continue;
    if (!h.integer) return true;
    if (auto* i = std::get_if<int64_t>(&value)) return *i == *h.integer;
    if (auto* s = std::get_if<std::string>(&value)) return *s == h.text;
  }
  return false;
}

// `value` as the type of `spec`, where one is meant by the other.
std::optional<Attr> convert(const Attr& value, const Attr& like) {
  if (value.index() == like.index()) return value;
  auto* integer = std::get_if<int64_t>(&value);
  if (integer && std::holds_alternative<ir::DType>(like)) {
    auto dtype = dtype_of(static_cast<int>(std::clamp<int64_t>(*integer, 0, 1000)));
    return dtype ? std::optional<Attr>(*dtype) : std::nullopt;
  }
  if (integer && std::holds_alternative<double>(like)) return Attr(static_cast<double>(*integer));
  auto* integers = std::get_if<ir::Ints>(&value);
  if (integers && std::holds_alternative<ir::Floats>(like))
    return Attr(ir::Floats(integers->begin(), integers->end()));
  if (integers && integers->empty() && std::holds_alternative<ir::Strings>(like)) return Attr(ir::Strings{});
  return std::nullopt;
}

std::string_view kind_name(const Attr& value) {
  constexpr std::array<std::string_view, 8> kNames{"an integer", "a float", "a string",        "integers",
                                                   "floats",     "strings", "an element type", "a tensor"};
  return kNames[value.index()];
}

// A constant tensor as the value of an attribute.
Attr attr_from(const Call& call, const ir::TensorPtr& tensor, const Attr& like, std::string_view name) {
  if (std::holds_alternative<ir::Ints>(like)) {
    if (ir::is_float(tensor->dtype())) malformed(call, concat("input '", name, "' must hold integers"));
    ir::Ints out;
    for (int64_t i = 0; i < tensor->count(); i++) out.push_back(tensor->get_int(i));
    return out;
  }
  if (std::holds_alternative<ir::Floats>(like)) {
    ir::Floats out;
    for (int64_t i = 0; i < tensor->count(); i++) out.push_back(tensor->get(i));
    return out;
  }
  if (std::holds_alternative<ir::TensorPtr>(like)) return tensor;
  if (tensor->count() != 1) malformed(call, concat("input '", name, "' must be one number"));
  if (std::holds_alternative<int64_t>(like)) return tensor->get_int(0);
  if (std::holds_alternative<double>(like)) return tensor->get(0);
  malformed(call, concat("input '", name, "' must be ", kind_name(like)));
}

const AttrSpec& spec_of(const ir::OpDef& op, std::string_view name) {
  for (const AttrSpec& spec : op.attrs)
    if (spec.name == name) return spec;
  throw InternalError(concat(op.name, " declares constant input '", name, "' but no such attribute"));
}

}  // namespace

int64_t Call::integer(const char* name, int64_t otherwise) const {
  auto it = attrs.find(name);
  if (it == attrs.end()) return otherwise;
  if (auto* value = std::get_if<int64_t>(&it->second)) return *value;
  malformed(*this, concat("attribute '", name, "' must be an integer"));
}

ir::TensorPtr Call::known(ir::Value v) const { return knowledge->value(v); }

void unsupported(const Call& call, const std::string& why, std::string hint) {
  throw Error(ErrorCode::unsupported, concat(call.op, " '", printable(call.label), "': ", why),
              printable(call.label), std::move(hint));
}

void malformed(const Call& call, const std::string& why) {
  throw Error(ErrorCode::bad_input, concat(call.op, " '", printable(call.label), "': ", why),
              printable(call.label));
}

void read_attributes(const onnx::NodeProto& node, const Payloads& payloads, Call& call) {
  for (const auto& a : node.attribute()) {
    const std::string& name = a.name();
    if (!a.ref_attr_name().empty())
      malformed(call, concat("attribute '", printable(name), "' refers to a function's attribute"));
    int fields = a.has_f() + a.has_i() + a.has_s() + a.has_t() + a.has_g() + (a.floats_size() > 0) +
                 (a.ints_size() > 0) + (a.strings_size() > 0) + (a.tensors_size() > 0) +
                 (a.graphs_size() > 0);
    int kind = kind_of(a);
    // Some writers fill the other fields with zeros, so only a second list or message is a contradiction.
    if (fields > 1 && a.type() == 0)
      malformed(call, concat("attribute '", printable(name), "' has two values and no kind"));
    switch (kind) {
      case kFloat: call.attrs[name] = static_cast<double>(a.f()); break;
      case kInt: call.attrs[name] = static_cast<int64_t>(a.i()); break;
      case kString: call.attrs[name] = a.s(); break;
      case kTensor:
        if (dtype_of(a.t().data_type()))
          call.attrs[name] =
              std::make_shared<const ir::Tensor>(read_tensor(a.t(), payloads, concat(call.label, ".", name)));
        else
          unsupported(call,
                      concat("attribute '", printable(name), "' holds ", onnx_type_name(a.t().data_type())));
        break;
      case kGraph: call.bodies[name] = &a.g(); break;
      case kFloats: call.attrs[name] = ir::Floats(a.floats().begin(), a.floats().end()); break;
      case kInts: call.attrs[name] = ir::Ints(a.ints().begin(), a.ints().end()); break;
      case kStrings: call.attrs[name] = ir::Strings(a.strings().begin(), a.strings().end()); break;
      default: unsupported(call, concat("attribute '", printable(name), "' is of kind ", kind));
    }
  }
}

void bind_constant_inputs(const ir::OpDef& op, Call& call) {
  std::vector<bool> taken(call.inputs.size(), false);
  for (const ir::ConstantInput& input : op.constant_inputs) {
    auto at = static_cast<size_t>(input.position);
    if (at >= call.inputs.size()) continue;
    taken[at] = true;
    if (!call.inputs[at]) continue;
    ir::TensorPtr value = call.known(call.inputs[at]);
    if (!value)
      unsupported(call, concat("input ", at, " (", input.attr, ") is computed from the model's data"),
                  "Mezzo compiles static shapes: it must follow from constants and input shapes");
    call.attrs[std::string(input.attr)] = attr_from(call, value, spec_of(op, input.attr).value, input.attr);
  }
  ir::Values rest;
  for (size_t i = 0; i < call.inputs.size(); i++)
    if (!taken[i]) rest.push_back(call.inputs[i]);
  call.inputs = std::move(rest);
}

ir::Attrs fit_attributes(const ir::OpDef& op, const Call& call) {
  ir::Attrs out;
  for (auto& [name, value] : call.attrs) {
    auto spec =
        std::find_if(op.attrs.begin(), op.attrs.end(), [&, &n = name](auto& s) { return s.name == n; });
    if (spec == op.attrs.end()) {
      if (!harmless(name, value))
        unsupported(call, concat("attribute '", printable(name), "' is not implemented"));
      continue;
    }
    std::optional<Attr> fitted = convert(value, spec->value);
    if (!fitted && std::holds_alternative<ir::DType>(spec->value) && std::holds_alternative<int64_t>(value))
      unsupported(call, concat("element type ", onnx_type_name(static_cast<int>(std::clamp<int64_t>(
                                                    std::get<int64_t>(value), 0, 1000)))));
    if (!fitted)
      malformed(call, concat("attribute '", printable(name), "' is ", kind_name(value), ", expected ",
                             kind_name(spec->value)));
    out[name] = std::move(*fitted);
  }
  return out;
}

}  // namespace mezzo::frontend
