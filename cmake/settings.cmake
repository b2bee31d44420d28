# Compiler settings, and mezzo_layer(): one OBJECT library per folder, whose links prove the arrows between folders.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(mezzo_settings INTERFACE)
# -ffp-contract=off: the evaluator is the bit-exact oracle of strict numerics; only a written std::fma may fuse.
target_compile_options(mezzo_settings INTERFACE -Wall -Wextra -Wshadow -Wno-missing-field-initializers -ffp-contract=off
                       $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>  # g++ 12 sees overlaps in std::string that are not there
                       $<$<BOOL:${MEZZO_WERROR}>:-Werror>)
target_include_directories(mezzo_settings INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/ir/include
                           ${PROJECT_SOURCE_DIR}/runtime/include ${PROJECT_BINARY_DIR}/generated)

# mezzo_layer(NAME [DEPENDS layer...] [EXCLUDE subfolder...] [PRIVATE library...]): every .cpp under NAME/. Object
# libraries, because operators register themselves and a static library would drop them.
function(mezzo_layer name)
  cmake_parse_arguments(arg "" "" "DEPENDS;EXCLUDE;PRIVATE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${name}/*.cpp)
  foreach(folder ${arg_EXCLUDE})
    list(FILTER sources EXCLUDE REGEX "/${name}/${folder}/")
  endforeach()
  if(NOT sources)  # a layer that is still empty
    set(sources ${PROJECT_BINARY_DIR}/empty_${name}.cpp)
    file(WRITE ${sources} "")
  endif()
  add_library(${name} OBJECT ${sources})
  target_link_libraries(${name} PUBLIC mezzo_settings PRIVATE ${arg_PRIVATE})
  set_property(GLOBAL APPEND PROPERTY MEZZO_LAYERS ${name})
  if(arg_DEPENDS)
    add_dependencies(${name} ${arg_DEPENDS})
  endif()
endfunction()
