# What is built from the layers: the library, the command, the model builders, the tests.
set(mezzo_links mezzo_proto libzip::zip xxHash::xxhash mezzo_cpu Threads::Threads ${CMAKE_DL_LIBS})

add_library(mezzo $<TARGET_OBJECTS:ir> $<TARGET_OBJECTS:frontend> $<TARGET_OBJECTS:passes> $<TARGET_OBJECTS:codegen>
                  $<TARGET_OBJECTS:runtime>)
target_link_libraries(mezzo PRIVATE ${mezzo_links})

file(GLOB cli_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/runtime/cli/*.cpp)
if(cli_sources)
  # From the objects: operators register themselves, and the linker would drop them from an archive.
  add_executable(mezzo-cli ${cli_sources} $<TARGET_OBJECTS:ir> $<TARGET_OBJECTS:frontend> $<TARGET_OBJECTS:passes>
                           $<TARGET_OBJECTS:codegen> $<TARGET_OBJECTS:runtime>)
  set_target_properties(mezzo-cli PROPERTIES OUTPUT_NAME mezzo RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  target_link_libraries(mezzo-cli PRIVATE mezzo_settings ${mezzo_links} CLI11::CLI11 nlohmann_json::nlohmann_json)
endif()

file(GLOB model_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/models/*.cpp)
if(model_sources)
  add_executable(mezzo-models ${model_sources})
  target_link_libraries(mezzo-models PRIVATE mezzo_settings mezzo_proto)
endif()

# mezzo_test(FOLDER LAYERS layer... [WITH folder...]): tests/FOLDER/*.cpp as one program linked with just these layers;
# WITH adds the sources of other test folders (what several of these programs share).
function(mezzo_test folder)
  cmake_parse_arguments(arg "" "" "LAYERS;LINK;WITH" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${folder}/*.cpp)
  if(NOT sources)
    return()
  endif()
  foreach(shared ${arg_WITH})
    file(GLOB more CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${shared}/*.cpp)
    list(APPEND sources ${more})
  endforeach()
  foreach(layer ${arg_LAYERS})
    list(APPEND sources $<TARGET_OBJECTS:${layer}>)
  endforeach()
  add_executable(${folder}_tests ${sources})
  target_link_libraries(${folder}_tests PRIVATE mezzo_settings GTest::gmock_main ${mezzo_links} ${arg_LINK})
  target_compile_definitions(${folder}_tests PRIVATE MEZZO_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                             MEZZO_BINARY_DIR="${PROJECT_BINARY_DIR}")
  gtest_discover_tests(${folder}_tests TEST_PREFIX ${folder}. DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 300)
endfunction()

if(MEZZO_TESTS)
  enable_testing()
  find_package(GTest REQUIRED)
  include(GoogleTest)
  mezzo_test(ir LAYERS ir)
  mezzo_test(frontend LAYERS ir frontend)
  mezzo_test(passes LAYERS ir passes WITH ops)
  mezzo_test(codegen LAYERS ir passes codegen WITH ops)
  mezzo_test(runtime LAYERS ir frontend passes codegen runtime LINK nlohmann_json::nlohmann_json)
endif()
