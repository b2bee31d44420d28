// mezzo.h: everything a program that trains models with Mezzo needs.
//
//   auto model   = mezzo::Model::load("model.onnx");
//   auto trainer = model.compile({.inputs = {{"input", {64, 1, 28, 28}}}, .loss =
//   mezzo::Loss::cross_entropy(),
//                                 .precision = mezzo::Precision::bf16, .optimizer = mezzo::AdamW{.lr =
//                                 1e-3}});
//   auto result  = trainer.step({{"input", images}, {"labels", labels}});
//   trainer.save_onnx("trained.onnx");
//
// Errors a user can cause are mezzo::Error (code, ONNX node, hint), defects of Mezzo mezzo::InternalError.
#pragma once
#include "mezzo/error.h"
#include "mezzo/model.h"
#include "mezzo/options.h"
#include "mezzo/tensor.h"
#include "mezzo/trainer.h"

namespace mezzo {

// "0.1.0"
const char* version();

}  // namespace mezzo
