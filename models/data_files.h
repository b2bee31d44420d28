// data_files.h: the small real data sets on which the networks are tried.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace mezzo::models {

// The last of the digits, written by other people than the others, are the test set.
constexpr int64_t kTestImages = 360;

// The digits as .npz files with the keys `input` and `labels`.
void split_digits(const std::string& digits, const std::string& train, const std::string& test);

// The digits as JPEG files of 32 x 32 pixels, FOLDER/train/DIGIT/N.jpg and FOLDER/val/DIGIT/N.jpg.
void digits_folder(const std::string& digits, const std::string& folder);

// Passages of `sequence` tokens (words) from text files, as .npz files for BERT: `input_ids`,
// `attention_mask`, `token_type_ids`, `labels`. The label is the file a passage is from; the last fifth of
// each file is the test set. Returns the size of the vocabulary.
int64_t passages(const std::vector<std::string>& texts, int64_t sequence, const std::string& train,
                 const std::string& test);

}  // namespace mezzo::models
