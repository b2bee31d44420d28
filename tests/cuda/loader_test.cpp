// Where libraries are looked for, in which order, and what is said when they are not there. Folders are made
// for the test; the libraries in them are copies of the fake NVRTC and of the fake cuDNN.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "codegen/cuda/libraries.h"
#include "mezzo/error.h"
#include "tests/paths.h"

namespace mezzo::codegen::cuda {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const LibrarySpec kSpec{"NVRTC", "libnvrtc", {"libnvrtc.so.13", "libnvrtc.so.12"}};

class Loader : public testing::Test {
 protected:
  void SetUp() override {
    // A path of its own for every test: what was opened under a path stays open.
    root_ =
        fs::path(testing::TempDir()) /
        concat("mezzo_loader_", ::getpid(), testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string path(const std::string& name) const { return (root_ / name).string(); }
  void put_library(const std::string& name, const std::string& which = "libnvrtc.so.13") {
    fs::create_directories((root_ / name).parent_path());
    fs::copy_file(MEZZO_BINARY_DIR + "/fake_cuda/" + which, root_ / name);
  }
  void put_cudnn(const std::string& folder, bool complete) {
    for (const char* file :
         {"/libcudnn.so.9", "/libcudnn_engines_runtime_compiled.so.9", "/libcudnn_graph.so.9"})
      if (complete || std::string_view(file) != "/libcudnn_graph.so.9") put_library(folder + file, file);
  }
  // Whether the one cuDNN that is tried is refused with these words.
  bool refuses_cudnn(const std::string& words) const {
    auto loaded = load_cudnn(environment(), 0);
    return !loaded && loaded.library.attempts.size() == 1 &&
           loaded.library.attempts[0].find(words) != std::string::npos;
  }
  // Runs `passes` in a process that has no cuDNN open: a part that is open stays so.
  void expect_in_fresh_process(const std::function<bool()>& passes) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    auto body = [&] {
      const bool passed = passes();
      fs::remove_all(root_);
      std::_Exit(passed ? 0 : 1);
    };
    EXPECT_EXIT(body(), testing::ExitedWithCode(0), "");
  }
  void put_file(const std::string& name, const std::string& content = "") {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << content;
  }
  Environment environment() const {
    return {[this](const char* name) {
              auto found = variables_.find(name);
              return found == variables_.end() ? std::string() : found->second;
            },
            root_.string()};
  }
  // "rule: file relative to the test's folder", without what every search has.
  std::vector<std::string> found(const LibrarySpec& spec = kSpec) const {
    std::vector<std::string> out;
    for (const Candidate& c : candidates(spec, environment()))
      if (c.path.starts_with(root_.string()))
        out.push_back(c.how + ": " + c.path.substr(root_.string().size() + 1));
    return out;
  }

  fs::path root_;
  std::map<std::string, std::string> variables_;
};

TEST_F(Loader, WheelsBeforeCondaBeforeToolkits) {
  for (const char* file :
       {"usr/local/cuda-13.0/lib64/libnvrtc.so.13", "usr/local/cuda-9.2/lib64/libnvrtc.so.12",
        "cuda_path/lib64/libnvrtc.so.13", "conda/lib/libnvrtc.so.12",
        "conda/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
        "venv/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
        "venv/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
        "home/.local/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13"})
    put_file(file);
  variables_ = {{"VIRTUAL_ENV", path("venv")},
                {"HOME", path("home")},
                {"CONDA_PREFIX", path("conda")},
                {"CUDA_PATH", path("cuda_path")}};
  EXPECT_THAT(
      found(),
      ElementsAre("Python wheel: venv/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
                  "Python wheel: venv/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
                  "Python wheel: conda/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
                  "Python wheel: home/.local/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
                  "CONDA_PREFIX: conda/lib/libnvrtc.so.12", "CUDA_PATH: cuda_path/lib64/libnvrtc.so.13",
                  "usual folder: usr/local/cuda-13.0/lib64/libnvrtc.so.13",
                  "usual folder: usr/local/cuda-9.2/lib64/libnvrtc.so.12"));
}

TEST_F(Loader, SystemLoaderBetweenCondaAndToolkits) {
  put_file("conda/lib/libnvrtc.so.12");
  put_file("toolkit/lib64/libnvrtc.so.13");
  variables_ = {{"CONDA_PREFIX", path("conda")}, {"CUDA_HOME", path("toolkit")}};
  std::vector<std::string> rules;
  for (const Candidate& c : candidates(kSpec, environment())) rules.push_back(c.how);
  EXPECT_THAT(rules, ElementsAre("open in this process", "open in this process", "CONDA_PREFIX",
                                 "the system's loader", "the system's loader", "CUDA_HOME"));
}

TEST_F(Loader, DriverComesFromNoWheelAndNoToolkit) {
  put_file("conda/lib/libcuda.so.1");
  put_file("usr/lib/wsl/lib/libcuda.so.1");
  variables_ = {{"CONDA_PREFIX", path("conda")}, {"CUDA_PATH", path("conda")}};
  EXPECT_THAT(found({"the driver", "libcuda", {"libcuda.so.1"}, true}),
              ElementsAre("usual folder: usr/lib/wsl/lib/libcuda.so.1"));
}

TEST_F(Loader, ChosenFolderIsTheOnlyOne) {
  put_library("mine/libnvrtc.so.13");
  put_file("conda/lib/libnvrtc.so.13");
  variables_ = {{"MEZZO_CUDA_PATH", path("mine")}, {"CONDA_PREFIX", path("conda")}};
  EXPECT_THAT(found(), ElementsAre("MEZZO_CUDA_PATH: mine/libnvrtc.so.13"));
  auto loaded = load_nvrtc(environment(), 0);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded.library.how, "MEZZO_CUDA_PATH");
  EXPECT_EQ(loaded.library.path, fs::canonical(path("mine/libnvrtc.so.13")).string());
  EXPECT_EQ(loaded.library.version, "13.0");
}

TEST_F(Loader, ChosenFolderWithoutTheLibraryLeavesTheSearch) {
  put_file("mine/lib64/libcudnn.so.9");
  put_file("conda/lib/libnvrtc.so.13");
  variables_ = {{"MEZZO_CUDA_PATH", path("mine")}, {"CONDA_PREFIX", path("conda")}};
  EXPECT_THAT(found(), ElementsAre("CONDA_PREFIX: conda/lib/libnvrtc.so.13"));
}

TEST_F(Loader, ChosenFileThatIsBrokenIsAnError) {
  put_file("mine/libnvrtc.so.13", "INPUT(libnvrtc.so)");
  put_library("conda/lib/libnvrtc.so.12");
  variables_ = {{"MEZZO_CUDA_PATH", path("mine")}, {"CONDA_PREFIX", path("conda")}};
  auto loaded = load_nvrtc(environment(), 0);
  EXPECT_FALSE(loaded);
  ASSERT_EQ(loaded.library.attempts.size(), 1u);
  EXPECT_THAT(loaded.library.attempts[0], HasSubstr("mine/libnvrtc.so.13"));
}

TEST_F(Loader, ChosenFolderThatDoesNotExistIsAnError) {
  variables_ = {{"MEZZO_CUDA_PATH", path("nowhere")}};
  auto loaded = load_nvrtc(environment(), 0);
  EXPECT_FALSE(loaded);
  EXPECT_THAT(loaded.library.attempts, ElementsAre(HasSubstr("nowhere is no directory")));
}

TEST_F(Loader, WrongMajorIsNamed) {
  put_library("mine/libnvrtc.so.11.2");
  variables_ = {{"MEZZO_CUDA_PATH", path("mine")}};
  ::setenv("FAKE_NVRTC_VERSION", "11.2", 1);
  auto loaded = load_nvrtc(environment(), 0);
  ::unsetenv("FAKE_NVRTC_VERSION");
  EXPECT_FALSE(loaded);
  EXPECT_THAT(loaded.library.attempts, ElementsAre(HasSubstr("NVRTC 11 is too old, 12 is needed")));
}

TEST_F(Loader, NewerThanTheDriverIsPassedOver) {
  put_library("mine/libnvrtc.so.13");
  variables_ = {{"MEZZO_CUDA_PATH", path("mine")}};
  auto loaded = load_nvrtc(environment(), 12);
  EXPECT_FALSE(loaded);
  EXPECT_THAT(loaded.library.attempts,
              ElementsAre(HasSubstr("NVRTC 13 is newer than what the driver supports (CUDA 12)")));
}

TEST_F(Loader, AnotherLibraryUnderTheNameIsRefused) {
  put_library("mine/libcuda.so.1");
  put_library("mine/libcudnn.so.9");
  put_library("mine/libcudnn_graph.so.9");
  put_library("mine/libcudnn_engines_runtime_compiled.so.9");
  variables_ = {{"MEZZO_CUDA_PATH", path("mine")}};
  EXPECT_THAT(load_driver(environment()).library.attempts, ElementsAre(HasSubstr("it lacks cuInit")));
  expect_in_fresh_process([&] { return refuses_cudnn("it lacks cudnnGetVersion"); });
}

// The real one ends the process when it is called without its part, and so does the fake one.
TEST_F(Loader, CudnnWithoutItsPartIsRefused) {
  put_cudnn("mine", false);
  variables_ = {{"MEZZO_CUDA_PATH", path("mine")}};
  EXPECT_TRUE(refuses_cudnn("its part libcudnn_graph.so.9 is not beside it"));
  put_library("mine/libcudnn_graph.so.9", "libcudnn_graph.so.9");
  fs::remove(path("mine/libcudnn_engines_runtime_compiled.so.9"));
  EXPECT_TRUE(refuses_cudnn("its part libcudnn_engines_runtime_compiled.so.9 is not beside it"));
}

TEST_F(Loader, CudnnWithAPartThatCannotBeOpenedIsRefused) {
  put_cudnn("mine", false);
  put_file("mine/libcudnn_graph.so.9", "cut short");
  variables_ = {{"MEZZO_CUDA_PATH", path("mine")}};
  expect_in_fresh_process([&] { return refuses_cudnn("its part cannot be opened: "); });
}

TEST_F(Loader, PartsOfCudnnComeFromItsFolder) {
  const std::string wheels = "venv/lib/python3.11/site-packages/nvidia/";
  put_cudnn(wheels + "a/lib", false);
  put_cudnn(wheels + "b/lib", true);
  variables_ = {{"VIRTUAL_ENV", path("venv")}};
  expect_in_fresh_process([&] {
    auto loaded = load_cudnn(environment(), 0);
    auto* where = reinterpret_cast<const char* (*)()>(::dlsym(RTLD_DEFAULT, "fake_cudnn_part"));
    return loaded && loaded.library.version == "9.19.0" && loaded.library.attempts.size() == 1 && where &&
           fs::equivalent(where(), path(wheels + "b/lib/libcudnn_graph.so.9"));
  });
}

// Its own would be open, too, but would not be the one that it finds by name.
TEST_F(Loader, CudnnBesideAPartOfAnotherIsRefused) {
  put_cudnn("mine", true);
  put_cudnn("other", true);
  variables_ = {{"MEZZO_CUDA_PATH", path("mine")}};
  expect_in_fresh_process([&] {
    ::dlopen(path("other/libcudnn_graph.so.9").c_str(), RTLD_NOW);
    return refuses_cudnn("the process has a part of another cuDNN open: " +
                         fs::canonical(path("other")).string());
  });
}

// Which optional functions an old library lacks does not matter; that they are looked up does.
TEST_F(Loader, ReportsNameEveryLibrary) {
  auto reports = report_libraries();
  ASSERT_EQ(reports.size(), 4u);
  for (const LibraryReport& r : reports) {
    EXPECT_FALSE(r.lost.empty()) << r.name;
    EXPECT_NE(r.found, r.path.empty()) << r.name;
    EXPECT_TRUE(r.found || !r.attempts.empty()) << r.name;
  }
}

}  // namespace
}  // namespace mezzo::codegen::cuda
