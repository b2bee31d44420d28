# What is built from the layers: the library, the command, the model builders, the tests.
set(mezzo_links mezzo_proto libzip::zip mezzo_images xxHash::xxhash mezzo_cpu Threads::Threads ${CMAKE_DL_LIBS})
set(everything $<TARGET_OBJECTS:ir> $<TARGET_OBJECTS:frontend> $<TARGET_OBJECTS:passes> $<TARGET_OBJECTS:codegen>
               $<TARGET_OBJECTS:runtime>)

if(NOT MEZZO_PORTABLE)  # not as an archive: see below
  add_library(mezzo SHARED ${everything})
  target_link_libraries(mezzo PRIVATE ${mezzo_links})
endif()

include(cmake/portable.cmake)

# Programs are linked from the objects: operators register themselves, and the linker would drop them from an archive.
function(mezzo_program target name folder)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cpp)
  add_executable(${target} ${sources} ${everything})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  target_link_libraries(${target} PRIVATE mezzo_settings ${mezzo_links} CLI11::CLI11 nlohmann_json::nlohmann_json)
  mezzo_portable(${target})
endfunction()
mezzo_program(mezzo-cli mezzo runtime/cli)
mezzo_program(mezzo-models mezzo-models models)
mezzo_copy_libraries(mezzo-cli)

# mezzo_test(FOLDER LAYERS layer... [WITH folder...] [FILES file...]): tests/FOLDER/*.cpp as one program linked with just
# these layers; WITH adds the sources of other test folders, FILES single ones (what several of these programs share).
function(mezzo_test folder)
  cmake_parse_arguments(arg "" "" "LAYERS;LINK;WITH;FILES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${folder}/*.cpp)
  if(NOT sources)
    return()
  endif()
  foreach(shared ${arg_WITH})
    file(GLOB more CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${shared}/*.cpp)
    list(APPEND sources ${more})
  endforeach()
  list(TRANSFORM arg_FILES PREPEND ${PROJECT_SOURCE_DIR}/tests/)
  list(APPEND sources ${arg_FILES})
  foreach(layer ${arg_LAYERS})
    list(APPEND sources $<TARGET_OBJECTS:${layer}>)
  endforeach()
  add_executable(${folder}_tests ${sources})
  target_link_libraries(${folder}_tests PRIVATE mezzo_settings GTest::gmock_main ${mezzo_links} ${arg_LINK})
  mezzo_portable(${folder}_tests)
  gtest_discover_tests(${folder}_tests TEST_PREFIX ${folder}. DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 300)
endfunction()

if(MEZZO_TESTS)
  enable_testing()
  find_package(GTest REQUIRED)
  include(GoogleTest)
  # The conformance tests of ONNX, where installed (libonnx-testdata); without them their tests say that they skip.
  find_path(MEZZO_ONNX_TEST_DATA node/test_add/model.onnx PATHS ${CMAKE_SYSTEM_PREFIX_PATH}
            PATH_SUFFIXES share/libonnx-testdata/data)
  if(NOT MEZZO_ONNX_TEST_DATA)
    set(MEZZO_ONNX_TEST_DATA "")
  endif()
  configure_file(tests/paths.h.in generated/tests/paths.h @ONLY)
  mezzo_test(ir LAYERS ir)
  mezzo_test(frontend LAYERS ir frontend WITH nodes)
  mezzo_test(passes LAYERS ir passes WITH ops)
  mezzo_test(codegen LAYERS ir passes codegen WITH ops)
  mezzo_test(runtime LAYERS ir frontend passes codegen runtime WITH nodes FILES frontend/model_builder.cpp
             LINK nlohmann_json::nlohmann_json)
  mezzo_test(data LAYERS ir frontend passes codegen runtime)
  mezzo_test(cli LAYERS ir frontend passes codegen runtime LINK nlohmann_json::nlohmann_json)
  if(TARGET cli_tests)
    add_dependencies(cli_tests mezzo-cli)
  endif()
  include(cmake/cuda_tests.cmake)
  if(TARGET mezzo)
    add_test(NAME install.consumer
             COMMAND bash ${PROJECT_SOURCE_DIR}/tests/install/install_test.sh ${PROJECT_BINARY_DIR} ${CMAKE_CXX_COMPILER})
    set_tests_properties(install.consumer PROPERTIES TIMEOUT 300)
  endif()
endif()
