# The CUDA device library: rt_device_cuda. Included by a build with RTRAIN_CUDA=ON (presets `cuda` and `pascal`).
# Architectures are chosen by asking nvcc what it can do, before CMake is told of the language: CUDA 13 no longer serves
# 6.1, and older toolkits do not know 10.0 and 12.0.
#   RTRAIN_CUDA_ARCHS  the ones to compile for, as 61;90     CUDACXX  another nvcc
#   RTRAIN_PYTHON      a Python whose nvidia packages hold cuDNN and cuBLAS; python3's are looked at too
set(RTRAIN_CUDA_ARCHS "" CACHE STRING
    "CUDA architectures to compile for, as 75;90; empty: all that rtrain serves and nvcc knows")
set(RTRAIN_PYTHON "$ENV{RTRAIN_PYTHON}" CACHE STRING "A Python whose nvidia packages hold cuDNN and cuBLAS")

set(rt_pascal_advice "Compute capability 6.1 needs CUDA 12.x (12.9 or older) and cuDNN 9.10.2 or older. "
    "tools/pascal_toolkit.sh --with-libraries fetches both into build/pascal-toolkit, where this build looks first; "
    "or point CUDACXX to the nvcc of an installed CUDA 12.x.")
string(CONCAT rt_pascal_advice ${rt_pascal_advice})
set(rt_pascal_toolkit ${PROJECT_SOURCE_DIR}/build/pascal-toolkit)
set(rt_hints "")
if(61 IN_LIST RTRAIN_CUDA_ARCHS)
  set(rt_hints ${rt_pascal_toolkit}/bin)
endif()

# --- nvcc and the architectures
if(NOT CMAKE_CUDA_COMPILER)
  if(DEFINED ENV{CUDACXX})
    set(CMAKE_CUDA_COMPILER $ENV{CUDACXX})
  else()
    find_program(CMAKE_CUDA_COMPILER nvcc HINTS ${rt_hints} $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
  endif()
endif()
if(NOT CMAKE_CUDA_COMPILER)
  message(FATAL_ERROR "RTRAIN_CUDA=ON needs nvcc, which is neither on PATH nor in /usr/local/cuda/bin. "
                      "Install the CUDA toolkit, point CUDACXX to its nvcc, or build without CUDA (preset release).")
endif()
execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch OUTPUT_VARIABLE rt_known RESULT_VARIABLE rt_failed)
string(REGEX MATCHALL "[0-9]+" rt_known "${rt_known}")
if(rt_failed OR NOT rt_known)
  message(FATAL_ERROR "${CMAKE_CUDA_COMPILER} --list-gpu-arch does not work; CUDA 11.8 or newer is needed")
endif()
if(RTRAIN_CUDA_ARCHS)
  set(rt_archs ${RTRAIN_CUDA_ARCHS})
  foreach(arch ${rt_archs})
    if(NOT arch IN_LIST rt_known)
      set(advice "Leave it out of RTRAIN_CUDA_ARCHS, or use another toolkit (CUDACXX).")
      if(arch LESS 75)
        set(advice "${rt_pascal_advice}")
      endif()
      message(FATAL_ERROR "${CMAKE_CUDA_COMPILER} cannot compile for architecture ${arch}; it knows ${rt_known}.\n"
                          "${advice}")
    endif()
  endforeach()
else()
  set(rt_archs "")
  foreach(arch 61 70 75 80 86 89 90 100 120)
    if(arch IN_LIST rt_known)
      list(APPEND rt_archs ${arch})
    endif()
  endforeach()
endif()
list(TRANSFORM rt_archs APPEND -real OUTPUT_VARIABLE CMAKE_CUDA_ARCHITECTURES)
list(GET rt_archs -1 rt_newest)
list(APPEND CMAKE_CUDA_ARCHITECTURES ${rt_newest}-virtual)  # as PTX, for what comes after it

if(NOT CMAKE_CUDA_HOST_COMPILER)
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
endif()
enable_language(CUDA)
string(REGEX MATCH "^[0-9]+" rt_cuda_major ${CMAKE_CUDA_COMPILER_VERSION})

# --- cuDNN and cuBLAS: in the toolkit, in the system, in a Python environment, where no plain .so file leads to them
function(rt_python_packages python variable)
  set(folders "")
  if(python)
    set(program "import sys; print(';'.join(p + '/nvidia' for p in sys.path if p.endswith('-packages')))")
    execute_process(COMMAND ${python} -c "${program}"
                    OUTPUT_VARIABLE folders OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  set(${variable} "${folders}" PARENT_SCOPE)
endfunction()
rt_python_packages("${RTRAIN_PYTHON}" rt_packages)
find_program(rt_python3 python3 NO_CACHE)
rt_python_packages("${rt_python3}" rt_last_packages)
if(61 IN_LIST rt_archs)
  list(APPEND rt_packages ${rt_pascal_toolkit}/site-packages/nvidia)
endif()
cmake_path(GET CMAKE_CUDA_COMPILER PARENT_PATH rt_nvcc_folder)

# In `prefix`/include and /lib for every prefix; the library by its full name, beside the header that was found.
function(rt_find_cuda_library name header version_of subfolders)
  string(TOUPPER ${name} NAME)
  foreach(list packages last_packages)
    set(${list} "")
    foreach(folder ${rt_${list}})
      foreach(sub ${subfolders})
        list(APPEND ${list} ${folder}/${sub}/include)
      endforeach()
    endforeach()
  endforeach()
  find_path(RT_${NAME}_INCLUDE ${header}
            HINTS ${packages} ${rt_nvcc_folder}/../include ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}
            PATHS ${last_packages} PATH_SUFFIXES ${CMAKE_LIBRARY_ARCHITECTURE})
  if(NOT RT_${NAME}_INCLUDE)
    message(FATAL_ERROR "RTRAIN_CUDA=ON needs ${name}, and ${header} was not found: install it beside the toolkit, "
                        "in the system, or as a Python package (nvidia-${name}-cu12, or CUDA 13's), and name that "
                        "Python: -DRTRAIN_PYTHON=VENV/bin/python")
  endif()
  file(STRINGS ${RT_${NAME}_INCLUDE}/${version_of} lines
       REGEX "^#define (CUDNN_|CUBLAS_VER_)(MAJOR|MINOR|PATCHLEVEL|PATCH) ")
  string(REGEX MATCHALL "[0-9]+" version "${lines}")
  list(GET version 0 major)
  list(JOIN version "." version)
  cmake_path(GET RT_${NAME}_INCLUDE PARENT_PATH prefix)
  find_library(RT_${NAME}_LIBRARY lib${name}.so.${major}
               HINTS ${prefix}/lib64 ${prefix}/lib ${prefix}/lib/${CMAKE_LIBRARY_ARCHITECTURE}
                     ${prefix}/../lib/${CMAKE_LIBRARY_ARCHITECTURE}
                     ${rt_nvcc_folder}/../lib64 ${rt_nvcc_folder}/../lib)
  if(NOT RT_${NAME}_LIBRARY)
    message(FATAL_ERROR "${RT_${NAME}_INCLUDE}/${header} is there, but lib${name}.so.${major} is not beside it; "
                        "-DRT_${NAME}_LIBRARY=FILE names it")
  endif()
  mark_as_advanced(RT_${NAME}_INCLUDE RT_${NAME}_LIBRARY)
  message(STATUS "${name} ${version}: ${RT_${NAME}_LIBRARY}")
  set(rt_${name}_version ${version} PARENT_SCOPE)
endfunction()
rt_find_cuda_library(cudnn cudnn.h cudnn_version.h cudnn)
rt_find_cuda_library(cublas cublas_v2.h cublas_api.h "cublas;cu${rt_cuda_major}")
if(61 IN_LIST rt_archs AND rt_cudnn_version VERSION_GREATER_EQUAL 9.11)
  message(FATAL_ERROR "cuDNN ${rt_cudnn_version} (${RT_CUDNN_LIBRARY}) no longer serves compute capability 6.1.\n"
                      "${rt_pascal_advice}")
endif()

# --- the library
file(GLOB_RECURSE rt_cuda_sources CONFIGURE_DEPENDS src/kernels/*.cu src/kernels/cu*_api.cpp)
add_library(rt_device_cuda OBJECT src/core/cuda_runtime.cu ${rt_tables} ${rt_cuda_sources})
target_compile_definitions(rt_device_cuda PRIVATE RT_CUDA=1)
target_include_directories(rt_device_cuda SYSTEM PRIVATE ${RT_CUDNN_INCLUDE} ${RT_CUBLAS_INCLUDE}
                           ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
target_link_libraries(rt_device_cuda PUBLIC rt_kernels ${RT_CUDNN_LIBRARY} ${RT_CUBLAS_LIBRARY})
# nvcc's front end cannot evaluate fmt 9's format strings at compile time: they are checked where g++ compiles the file.
target_compile_definitions(rt_device_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:FMT_CONSTEVAL=;FMT_USE_CONSTEXPR=1>")
list(JOIN rt_warnings , rt_host_flags)
# As a flag: CMake 3.25 does not know that nvcc has C++20.
target_compile_options(rt_device_cuda PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;-Xcompiler=${rt_host_flags},-ffp-contract=off>")
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)  # of cuDNN and cuBLAS, wherever they were found
list(JOIN rt_archs " " rt_archs_text)
message(STATUS "CUDA ${CMAKE_CUDA_COMPILER_VERSION} for ${rt_archs_text}: ${CMAKE_CUDA_COMPILER}")
