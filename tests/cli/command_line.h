// command_line.h: starts the built `mezzo` command on files made for it.
#pragma once
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/atomic_file.h"
#include "runtime/npz.h"
#include "tests/paths.h"

namespace mezzo {

using ir::DType;
using ir::Tensor;
using runtime::Arrays;
using testing::HasSubstr;

inline const std::string kModels = MEZZO_SOURCE_DIR + "/models/fixtures";

inline std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

inline Arrays batch(int64_t n = 4) {
  Tensor x({DType::f32, {n, 64}}), y({DType::i64, {n}});
  for (int64_t i = 0; i < x.count(); i++) x.set(i, std::sin(0.7 * static_cast<double>(i)));
  for (int64_t i = 0; i < n; i++) y.set_int(i, i * 7 % 10);
  return {{"input", x}, {"labels", y}};
}

struct Outcome {
  int code = -1;  // exit code; 128 + signal when it was killed
  std::string out, err;
};

class CommandLine : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    tmp_ = std::filesystem::path(testing::TempDir()) / concat("mezzo_cli_", ::getpid());
    std::filesystem::create_directories(tmp_);
    auto save = [](const std::string& name, const std::function<void(Arrays&)>& change) {
      Arrays arrays = batch();
      change(arrays);
      runtime::write_npz(path(name), arrays);
    };
    save("good.npz", [](Arrays&) {});
    save("feed.npz", [](Arrays& a) { a.erase("labels"); });
    save("wrong_name.npz", [](Arrays& a) {
      a.emplace("inputs", a.at("input"));
      a.erase("input");
    });
    save("wrong_shape.npz", [](Arrays& a) { a.at("input") = Tensor({DType::f32, {4, 63}}); });
    save("float_labels.npz", [](Arrays& a) { a.at("labels") = a.at("labels").cast(DType::f32); });
    save("label_range.npz", [](Arrays& a) { a.at("labels").set_int(1, 10); });
    save("nan.npz", [](Arrays& a) { a.at("input").set(5, NAN); });
    save("infinite.npz", [](Arrays& a) { a.at("input").set(5, INFINITY); });
    save("uneven.npz", [](Arrays& a) { a.at("labels") = Tensor({DType::i64, {3}}); });
    save("wrong_shape_feed.npz", [](Arrays& a) {
      a.erase("labels");
      a.at("input") = Tensor({DType::f32, {4, 63}});
    });
    save("extra.npz", [](Arrays& a) { a.emplace("weights", Tensor({DType::f32, {4}})); });
    save("scalar.npz", [](Arrays& a) { a.at("labels") = Tensor({DType::i64, {}}); });
    save("no_samples.npz", [](Arrays& a) {
      a.at("input") = Tensor({DType::f32, {0, 64}});
      a.at("labels") = Tensor({DType::i64, {0}});
    });
    save("large_ids.npz", [](Arrays& a) {
      a.erase("labels");
      a.at("input") = Tensor({DType::i64, {4, 32}});
    });
    runtime::write_npz(path("large.npz"), batch(512));
    // The label that names no class comes in the second batch.
    Arrays late = batch(8);
    late.at("labels").set_int(6, 10);
    runtime::write_npz(path("late.npz"), late);
    std::string npz = runtime::read_file(path("good.npz")),
                onnx = runtime::read_file(kModels + "/mlp.ts17.onnx");
    runtime::write_atomically(path("truncated.npz"), npz.substr(0, npz.size() / 2));
    runtime::write_atomically(path("truncated.onnx"), onnx.substr(0, onnx.size() / 2));
    runtime::write_atomically(path("empty.onnx"), std::string());
    runtime::write_atomically(path("truncated.bin"), std::string("no tokens"));
    std::filesystem::create_directories(tmp_ / "empty");
    runtime::write_atomically(path("text.onnx"), std::string("this is no model\n"));
    runtime::write_atomically(path("module.ir"), std::string("graph main {\n}\n"));
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(tmp_); }

  static std::string path(const std::string& name) { return (tmp_ / name).string(); }

  static std::vector<std::string> words(const std::string& line) {
    std::string text = replace_all(replace_all(line, "{tmp}", tmp_.string()), "{models}", kModels);
    std::istringstream in(replace_all(text, "{fake}", MEZZO_BINARY_DIR + "/fake_cuda"));
    std::vector<std::string> out;
    for (std::string w; in >> w;) out.push_back(w);
    return out;
  }

  // Starts `mezzo LINE` with its output in files; `prepare` runs in the child. Words NAME=VALUE before the
  // verb are environment variables.
  static pid_t start(
      const std::string& line, const std::function<void()>& prepare = [] {}) {
    std::vector<std::string> args = words(line), variables;
    while (!args.empty() && args.front().find('=') != std::string::npos) {
      variables.push_back(args.front());
      args.erase(args.begin());
    }
    args.insert(args.begin(), MEZZO_BINARY_DIR + "/mezzo");
    std::vector<char*> argv;
    for (auto& a : args) argv.push_back(a.data());
    argv.push_back(nullptr);
    pid_t child = ::fork();
    if (child != 0) return child;
    if (!std::freopen(path("stdout").c_str(), "w", stdout) ||
        !std::freopen(path("stderr").c_str(), "w", stderr))
      _exit(99);
    ::setenv("XDG_CACHE_HOME", path("cache").c_str(), 1);
    ::setenv("MEZZO_DEBUG", "no_cudnn", 1);  // on the fake device own kernels
    for (std::string& v : variables) ::putenv(v.data());
    prepare();
    ::execv(argv[0], argv.data());
    _exit(99);
  }
  static Outcome finish(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            runtime::read_file(path("stdout")), runtime::read_file(path("stderr"))};
  }
  static Outcome mezzo(const std::string& line) { return finish(start(line)); }
  static Outcome must_run(const std::string& line) {
    Outcome o = mezzo(line);
    EXPECT_EQ(o.code, 0) << line << '\n' << o.err;
    return o;
  }

  inline static std::filesystem::path tmp_;
};

}  // namespace mezzo
