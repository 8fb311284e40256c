# Instruction sets that the vector kernels are compiled for. A file named *_simd.cpp is compiled once per entry with
# RT_ISA set to the entry's name (the namespace of its code); a type of kernels/isa.hpp stands for it, and its rows are
# picked at run time. Such a file includes no standard-library header, so that no inline function built for AVX-512 can
# be linked into baseline code.
# Where an entry adds a few instructions to another, it is for the files that use those.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(RT_ISAS baseline avx2 avx512 avx512_bf16 amx)
  set(RT_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c -mtune=haswell)
  set(RT_ISA_FLAGS_avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mprefer-vector-width=512)
  set(RT_ISA_FLAGS_avx512_bf16 ${RT_ISA_FLAGS_avx512} -mavx512bf16)
  set(RT_ISA_FILES_avx512_bf16 "/gemm_simd\\.cpp$")
  set(RT_ISA_FLAGS_amx ${RT_ISA_FLAGS_avx512_bf16} -mamx-tile -mamx-bf16)
  set(RT_ISA_FILES_amx "/gemm_amx_simd\\.cpp$")
else()
  set(RT_ISAS baseline)
endif()

function(rt_add_simd_sources target)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/kernels/*_simd.cpp)
  # As a property of the files, so that it stands after the -ffp-contract=off that rt_options brings.
  set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS -ffp-contract=fast)
  foreach(isa ${RT_ISAS})
    set(files ${sources})
    if(RT_ISA_FILES_${isa})
      list(FILTER files INCLUDE REGEX ${RT_ISA_FILES_${isa}})
    else()
      list(FILTER files EXCLUDE REGEX "_amx_simd\\.cpp$")
    endif()
    if(files)
      add_library(rt_simd_${isa} OBJECT ${files})
      target_link_libraries(rt_simd_${isa} PRIVATE rt_options OpenMP::OpenMP_CXX)
      target_compile_definitions(rt_simd_${isa} PRIVATE RT_ISA=${isa} RT_ISA_${isa}=1)
      target_compile_options(rt_simd_${isa} PRIVATE ${RT_ISA_FLAGS_${isa}} -fno-math-errno -Wno-psabi)
      target_link_libraries(${target} PRIVATE rt_simd_${isa})
    endif()
    string(TOUPPER ${isa} name)
    target_compile_definitions(${target} PUBLIC RT_HAVE_${name}=1)
  endforeach()
endfunction()
