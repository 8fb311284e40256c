# What a room (a folder of sources) may include, checked on the #include lines themselves. The order of ARCHITECTURE.md,
# and within src/kernels and src/train the one between their rooms.
#   cmake -DROOT=. -P tests/check_includes.cmake
cmake_minimum_required(VERSION 3.25)  # in script mode nothing else sets the policies (IN_LIST)

# One line a room: "ROOM: what it may include". An entry is a folder with all in it, or one header, as it stands in an
# #include line. A room may always include itself; a folder without a line belongs to the room that it lies in.
set(rules
  "src/core:"
  "src/kernels: core"  # the table, and what else knows all operators
  "src/kernels/simd: core"
  "src/kernels/cuda: core"
  "src/kernels/gemm: core kernels/simd"
  "src/kernels/batch_norm: core kernels/simd kernels/cuda kernels/reference.hpp kernels/rows.hpp kernels/isa.hpp"
  "src/kernels/elementwise: core kernels/simd kernels/cuda kernels/reference.hpp kernels/rows.hpp kernels/isa.hpp"
  "src/kernels/pool: core kernels/simd kernels/cuda kernels/reference.hpp kernels/rows.hpp kernels/isa.hpp"
  "src/kernels/conv2d: core kernels/gemm kernels/simd kernels/cuda kernels/batch_norm kernels/reference.hpp \
kernels/choice_file.hpp kernels/rows.hpp kernels/isa.hpp"
  "src/kernels/linear: core kernels/gemm kernels/simd kernels/cuda kernels/conv2d kernels/elementwise \
kernels/reference.hpp kernels/rows.hpp kernels/isa.hpp"
  "src/kernels/cross_entropy: core kernels/cuda kernels/reference.hpp kernels/rows.hpp"
  "src/kernels/augment: core kernels/cuda kernels/reference.hpp kernels/rows.hpp"
  "src/kernels/update: core kernels/cuda kernels/reference.hpp kernels/rows.hpp"
  "src/kernels/cases: core kernels"
  "src/layers: core kernels"
  "src/data: core"
  "src/train/files: core"
  "src/train/config: core kernels/defaults.hpp kernels/update/optimizer.hpp layers/models.hpp data/sources.hpp \
train/files"
  "src/train/engine: core kernels layers data train/config/switches.hpp"
  "src/train: core kernels layers data"
  "tools: core kernels layers data train bench/commands.hpp"
  "bench: core kernels layers data train tools/verb.hpp tools/words.hpp"
  "tests: core kernels layers data train tools bench emulation"
)

set(rooms "")
foreach(rule ${rules})
  string(REGEX REPLACE ":.*" "" room "${rule}")
  string(REGEX REPLACE "^[^:]*: *" "" allowed "${rule}")
  string(REPLACE " " ";" allowed "${allowed}")
  string(REGEX REPLACE "^src/" "" self ${room})  # as #include lines say it
  set(allowed_${room} ${self} ${allowed})
  list(APPEND rooms ${room})
endforeach()

function(room_of file result)
  get_filename_component(folder ${file} DIRECTORY)
  while(folder AND NOT folder IN_LIST rooms)
    get_filename_component(folder "${folder}" DIRECTORY)
  endwhile()
  set(${result} "${folder}" PARENT_SCOPE)
endfunction()

function(is_allowed path room result)
  set(${result} FALSE PARENT_SCOPE)
  while(path)
    if(path IN_LIST allowed_${room})
      set(${result} TRUE PARENT_SCOPE)
      return()
    endif()
    get_filename_component(path "${path}" DIRECTORY)
  endwhile()
endfunction()

function(line_of file text result)
  file(READ ${file} content)
  string(FIND "${content}" "${text}" at)
  string(SUBSTRING "${content}" 0 ${at} before)
  string(REGEX REPLACE "[^\n]" "" before "${before}")
  string(LENGTH "${before}" count)
  math(EXPR count "${count} + 1")
  set(${result} ${count} PARENT_SCOPE)
endfunction()

get_filename_component(ROOT ${ROOT} ABSOLUTE)
set(bad "")
set(files "")
foreach(folder src tools bench tests)
  file(GLOB_RECURSE found RELATIVE ${ROOT} ${ROOT}/${folder}/*.cpp ${ROOT}/${folder}/*.hpp ${ROOT}/${folder}/*.cu)
  list(APPEND files ${found})
endforeach()
foreach(file ${files})
  room_of(${file} room)
  if(NOT room)
    string(APPEND bad "  ${file}: no rule for its folder, add a line to tests/check_includes.cmake\n")
    continue()
  endif()
  file(STRINGS ${ROOT}/${file} lines REGEX "^[ \t]*#[ \t]*include[ \t]+\"")
  foreach(line ${lines})
    string(REGEX REPLACE ".*\"([^\"]+)\".*" "\\1" path "${line}")
    is_allowed(${path} ${room} good)
    if(NOT good)
      line_of(${ROOT}/${file} "${line}" number)
      string(APPEND bad "  ${file}:${number}: #include \"${path}\" (${room} may include: ${allowed_${room}})\n")
    endif()
  endforeach()
endforeach()
if(bad)
  string(REPLACE ";" " " bad "${bad}")
  message(FATAL_ERROR "include order broken:\n${bad}")
endif()
