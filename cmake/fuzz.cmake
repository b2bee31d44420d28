# Fuzz targets (MEZZO_FUZZ=ON, clang only): one program per tests/fuzz/*_fuzz.cpp, with libFuzzer, ASan and UBSan. For
# the ONNX reader, seeded by the conformance tests and the hostile files:
#   cmake -S . -B build-fuzz -G Ninja -DMEZZO_FUZZ=ON -DMEZZO_TESTS=OFF -DMEZZO_CPU_JIT=OFF -DMEZZO_ONEDNN=OFF
#         -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19
#   ninja -C build-fuzz onnx_fuzz && scripts/fuzz_onnx.sh build-fuzz/onnx_fuzz 300
set(fuzz_flags -g1 -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined)
foreach(layer ir frontend)
  file(GLOB_RECURSE ${layer}_fuzzed CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${layer}/*.cpp)
endforeach()
add_library(mezzo_fuzzed OBJECT EXCLUDE_FROM_ALL ${ir_fuzzed} ${frontend_fuzzed})
add_dependencies(mezzo_fuzzed mezzo_proto)
target_link_libraries(mezzo_fuzzed PUBLIC mezzo_settings PRIVATE mezzo_proto xxHash::xxhash)
target_compile_options(mezzo_fuzzed PRIVATE ${fuzz_flags} -fsanitize=fuzzer-no-link)
file(GLOB fuzz_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/fuzz/*_fuzz.cpp)
foreach(source ${fuzz_sources})
  get_filename_component(program ${source} NAME_WE)
  add_executable(${program} EXCLUDE_FROM_ALL ${source} $<TARGET_OBJECTS:mezzo_fuzzed>)
  target_link_libraries(${program} PRIVATE mezzo_settings mezzo_proto xxHash::xxhash)
  target_compile_options(${program} PRIVATE ${fuzz_flags} -fsanitize=fuzzer)
  target_link_options(${program} PRIVATE -fsanitize=fuzzer,address,undefined)
endforeach()
