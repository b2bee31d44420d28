# Every library Mezzo uses (DESIGN: dependencies). scripts/setup.sh installs the same list.
find_package(Threads REQUIRED)
if(NOT MEZZO_FUZZ)  # fuzzed layers have no threads, and clang's own OpenMP is often not installed
  find_package(OpenMP REQUIRED COMPONENTS CXX)
endif()
if(MEZZO_PORTABLE)
  set(Protobuf_USE_STATIC_LIBS ON)
endif()
find_package(Protobuf REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(libzip REQUIRED IMPORTED_TARGET libzip)
pkg_check_modules(libxxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(images REQUIRED IMPORTED_TARGET libturbojpeg libpng zlib)
add_library(libzip::zip ALIAS PkgConfig::libzip)
add_library(xxHash::xxhash ALIAS PkgConfig::libxxhash)
add_library(mezzo_images ALIAS PkgConfig::images)  # JPEG, PNG, and IDX compressed by gzip

# The ONNX messages Mezzo reads, as a library of their own so that generated code keeps its own warnings.
set(generated ${PROJECT_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${generated}/frontend)
add_custom_command(
  OUTPUT ${generated}/frontend/onnx.pb.cc ${generated}/frontend/onnx.pb.h
  COMMAND protobuf::protoc --cpp_out=lite:${generated} -I ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/frontend/onnx.proto
  DEPENDS ${PROJECT_SOURCE_DIR}/frontend/onnx.proto)
add_library(mezzo_proto STATIC ${generated}/frontend/onnx.pb.cc)
target_include_directories(mezzo_proto SYSTEM PUBLIC ${generated})
target_link_libraries(mezzo_proto PUBLIC protobuf::libprotobuf-lite)

add_library(mezzo_cpu INTERFACE)  # what the CPU backend links
if(NOT MEZZO_FUZZ)
  target_link_libraries(mezzo_cpu INTERFACE OpenMP::OpenMP_CXX)
endif()
if(MEZZO_CPU_JIT)
  find_package(LLVM 19.1 REQUIRED CONFIG)
  target_include_directories(mezzo_cpu SYSTEM INTERFACE ${LLVM_INCLUDE_DIRS})
  target_link_libraries(mezzo_cpu INTERFACE LLVM-19)
  target_link_directories(mezzo_cpu INTERFACE ${LLVM_LIBRARY_DIRS})
  target_compile_definitions(mezzo_cpu INTERFACE MEZZO_CPU_JIT)
endif()
if(MEZZO_ONEDNN)
  # Not through dnnl-config: Debian's asks for OpenCL, which only oneDNN's GPU side needs.
  find_path(DNNL_INCLUDE_DIR dnnl.hpp REQUIRED)
  find_library(DNNL_LIBRARY dnnl REQUIRED)
  target_include_directories(mezzo_cpu SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
  target_link_libraries(mezzo_cpu INTERFACE ${DNNL_LIBRARY})
  target_compile_definitions(mezzo_cpu INTERFACE MEZZO_ONEDNN)
endif()
