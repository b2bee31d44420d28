# Text for NVRTC as part of the library: codegen/cuda/*.cuh in this order become one string constant.
set(device_text "")
foreach(name prelude numbers real product convolution scatter recurrence top_k attention tiles tiled_attention)
  set(file ${PROJECT_SOURCE_DIR}/codegen/cuda/${name}.cuh)
  set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} text)
  string(APPEND device_text "R\"mezzo(${text})mezzo\"\n")
endforeach()
configure_file(${PROJECT_SOURCE_DIR}/codegen/cuda/prelude_text.h.in ${PROJECT_BINARY_DIR}/generated/codegen/cuda/prelude_text.h
               @ONLY)
