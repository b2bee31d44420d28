# Install rules: headers, library, command, CMake package and .pc file.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

if(TARGET mezzo-cli)
  install(TARGETS mezzo-cli)
endif()
if(NOT TARGET mezzo)
  return()
endif()

target_include_directories(mezzo PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/runtime/include>
                           $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/ir/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(mezzo PUBLIC cxx_std_20)
set_target_properties(mezzo PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})

install(TARGETS mezzo EXPORT mezzo-targets)
install(DIRECTORY runtime/include/mezzo ir/include/mezzo DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mezzo)
install(EXPORT mezzo-targets NAMESPACE mezzo:: DESTINATION ${package_dir})
configure_package_config_file(cmake/mezzo-config.cmake.in ${PROJECT_BINARY_DIR}/mezzo-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mezzo-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/mezzo-config.cmake ${PROJECT_BINARY_DIR}/mezzo-config-version.cmake DESTINATION ${package_dir})
file(RELATIVE_PATH prefix_from_pkgconfig "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")  # the tree may be moved
string(REGEX REPLACE "/$" "" prefix_from_pkgconfig "${prefix_from_pkgconfig}")
configure_file(cmake/mezzo.pc.in ${PROJECT_BINARY_DIR}/mezzo.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mezzo.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
