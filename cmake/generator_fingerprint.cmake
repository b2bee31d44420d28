# A hash over the sources that decide what machine code a kernel becomes, as a part of the codegen layer: cached code
# of another build of these sources is never taken for this build's, without anyone having to count versions.
if(CMAKE_SCRIPT_MODE_FILE)  # cmake -DSOURCE_DIR=... -DOUTPUT=... -P: writes the hash
  file(GLOB_RECURSE sources ${SOURCE_DIR}/ir/*.h ${SOURCE_DIR}/ir/*.cpp ${SOURCE_DIR}/codegen/*.h ${SOURCE_DIR}/codegen/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/codegen/cuda/")  # the text that NVRTC gets says it all
  set(hashes "")
  foreach(source ${sources})
    file(SHA256 ${source} hash)
    string(APPEND hashes ${hash})
  endforeach()
  string(SHA256 hash "${hashes}")
  file(WRITE ${OUTPUT} "#include \"codegen/cpu/generator_fingerprint.h\"\n\n"
                       "const char* const mezzo::codegen::cpu::kGeneratorFingerprint = \"${hash}\";\n")
  return()
endif()

file(GLOB_RECURSE generator_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/ir/*.h ${PROJECT_SOURCE_DIR}/ir/*.cpp
     ${PROJECT_SOURCE_DIR}/codegen/*.h ${PROJECT_SOURCE_DIR}/codegen/*.cpp)
set(generator_fingerprint ${PROJECT_BINARY_DIR}/generated/codegen/cpu/generator_fingerprint.cpp)
add_custom_command(OUTPUT ${generator_fingerprint} DEPENDS ${generator_sources}
                   COMMAND ${CMAKE_COMMAND} -DSOURCE_DIR=${PROJECT_SOURCE_DIR} -DOUTPUT=${generator_fingerprint}
                           -P ${CMAKE_CURRENT_LIST_FILE}
                   COMMENT "Hashing the sources of the code generator" VERBATIM)
target_sources(codegen PRIVATE ${generator_fingerprint})
