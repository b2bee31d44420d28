# Tests of the CUDA backend on machines without a GPU: libraries with NVIDIA's functions that run on the host, and a
# comparison of own declarations with the real headers where those are installed.
set(fake_cuda ${PROJECT_BINARY_DIR}/fake_cuda)

# tests/cuda_sim/fake/SOURCE.cpp, with more sources, as fake_cuda/SONAME.
function(mezzo_fake_library source soname)
  add_library(${source} MODULE ${PROJECT_SOURCE_DIR}/tests/cuda_sim/fake/${source}.cpp ${ARGN})
  target_link_libraries(${source} PRIVATE mezzo_settings xxHash::xxhash ${CMAKE_DL_LIBS})
  target_link_options(${source} PRIVATE -Wl,-soname,${soname})
  set_target_properties(${source} PROPERTIES PREFIX "" SUFFIX "" OUTPUT_NAME ${soname} LIBRARY_OUTPUT_DIRECTORY ${fake_cuda})
  foreach(test cuda_tests cuda_device_tests runtime_tests cli_tests)
    add_dependencies(${test} ${source})
  endforeach()
endfunction()

# The networks whose launches are counted.
foreach(file onnx_builder layers resnet transformer transformers)
  list(APPEND network_files ../models/${file}.cpp)
endforeach()
mezzo_test(cuda LAYERS ir frontend passes codegen runtime)
# Kernels as host C++ on the simulator of tests/cuda_sim.
mezzo_test(cuda_kernels LAYERS ir passes codegen WITH ops cuda_sim FILES codegen/backend_agreement.cpp)
mezzo_test(cuda_device LAYERS ir frontend passes codegen runtime FILES ${network_files})
file(GLOB simulator CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/cuda_sim/*.cpp)
mezzo_fake_library(fake_nvrtc libnvrtc.so.13)
mezzo_fake_library(fake_cublaslt libcublasLt.so.13 $<TARGET_OBJECTS:ir>)
set(fake ${PROJECT_SOURCE_DIR}/tests/cuda_sim/fake)
mezzo_fake_library(fake_cudnn libcudnn.so.9 ${fake}/fake_dnn.cpp ${fake}/fake_dnn_text.cpp ${fake}/fake_dnn_descriptor.cpp $<TARGET_OBJECTS:ir>)
mezzo_fake_library(fake_cudnn_graph libcudnn_graph.so.9)
mezzo_fake_library(fake_cudnn_engines libcudnn_engines_runtime_compiled.so.9)
mezzo_fake_library(fake_driver libcuda.so.1 ${fake}/fake_state.cpp ${fake}/fake_modules.cpp ${simulator}
                   ${PROJECT_SOURCE_DIR}/codegen/cuda/prelude.cpp)

# The training tests of the CPU once more, on the fake device.
function(mezzo_on_fake_device name filter debug)
  add_test(NAME cuda_device.${name} COMMAND runtime_tests --gtest_filter=${filter})
  set_tests_properties(cuda_device.${name} PROPERTIES TIMEOUT 600 ENVIRONMENT
    "MEZZO_TEST_DEVICE=cuda;MEZZO_CUDA_PATH=${fake_cuda};MEZZO_DEBUG=${debug}")
endfunction()
mezzo_on_fake_device(gradients *FixtureGradients.*:-*_reference no_cudnn)
# Convolutions through cuDNN.
mezzo_on_fake_device(cudnn *FixtureGradients.*lenet_*:*FixtureGradients.*digits_cnn_*:*FixtureGradients.*resnet_*:*FixtureGradients.*unet_ts17:*FixtureGradients.*convnext_*:*FixtureRuns.*lenet_*:-*_reference "")
mezzo_on_fake_device(runs *FixtureRuns.* no_cudnn)
mezzo_on_fake_device(random_nets *RandomNets.* no_cudnn)
mezzo_on_fake_device(range_rules *RangeRules* no_cudnn)
mezzo_on_fake_device(sessions Session.*:WeightCopies.*:Checkpoints.*:LabelSmoothing.*:Schedule.* no_cudnn)
# Without any library of products.
mezzo_on_fake_device(own_products *FixtureGradients.*mlp_ts17:*FixtureGradients.*gpt2_ts17:*FixtureGradients.*tagger_ts17 no_cudnn,no_cublaslt)

# scripts/gpu-check.sh in miniature.
add_test(NAME gpu_check.rehearsal COMMAND bash ${PROJECT_SOURCE_DIR}/tests/gpu_check/rehearsal.sh ${PROJECT_BINARY_DIR})
set_tests_properties(gpu_check.rehearsal PROPERTIES TIMEOUT 900)

find_path(MEZZO_CUDA_INCLUDE cublasLt.h PATHS /usr/local/cuda/include)
find_path(MEZZO_CUDNN_INCLUDE cudnn_graph.h PATHS ${MEZZO_CUDA_INCLUDE} /usr/local/cuda/include)
if(MEZZO_CUDA_INCLUDE AND MEZZO_CUDNN_INCLUDE)
  mezzo_test(cuda_headers LAYERS ir)
  target_include_directories(cuda_headers_tests SYSTEM PRIVATE ${MEZZO_CUDA_INCLUDE} ${MEZZO_CUDNN_INCLUDE})
endif()
