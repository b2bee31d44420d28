# MEZZO_PORTABLE: the programs and tests run on a machine where nothing but the C library is installed. What Debian has as
# an archive is linked in; the other shared libraries are copied to lib/ beside the programs, which look there first.
function(mezzo_portable program)
  if(NOT MEZZO_PORTABLE)
    return()
  endif()
  target_link_options(${program} PRIVATE -static-libstdc++ -static-libgcc
                      -Wl,--disable-new-dtags)  # RPATH, not RUNPATH: it holds for the libraries' libraries, too
  set_target_properties(${program} PROPERTIES BUILD_RPATH "$ORIGIN/lib" INSTALL_RPATH "$ORIGIN/../lib/mezzo")
endfunction()

function(mezzo_copy_libraries program)
  if(NOT MEZZO_PORTABLE)
    return()
  endif()
  add_custom_command(TARGET ${program} POST_BUILD VERBATIM
                     COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:${program}> -DFOLDER=${PROJECT_BINARY_DIR}/lib
                             -P ${PROJECT_SOURCE_DIR}/cmake/copy_libraries.cmake)
  include(GNUInstallDirs)
  install(DIRECTORY ${PROJECT_BINARY_DIR}/lib/ DESTINATION lib/mezzo)
endfunction()
