// A row of a convolution's or a classifier's pass, out of an algorithm's functions for it. Algorithm::by_type(spec, f)
// calls f(T{}, passes) with the type of the values in memory, and `passes` has, as static functions,
//   forward(shape, x, w, y, workspace), dx(shape, dy, w, dx, workspace), dw(shape, dy, x, dw, workspace)
// and for each of them NAME_bytes(shape), the bytes of its workspace. Algorithm::shape(args or problem) gives the
// sizes.
#pragma once
#include "kernels/conv2d/conv2d.hpp"

namespace rt::cpu {

template <class Algorithm>
struct ConvRow {
  static void forward(const Args& a) {
    Algorithm::by_type(a.in[0].spec, [&]<class T>(T, auto passes) {
      passes.forward(Algorithm::shape(a), a.input("x").as<T>(), a.input("w").as<T>(), a.output("y").as<T>(),
                     a.workspace);
    });
  }
  static void dx(const Args& a) {
    Algorithm::by_type(a.in[0].spec, [&]<class T>(T, auto passes) {
      passes.dx(Algorithm::shape(a), a.input("dy").as<T>(), a.input("w").as<T>(), a.output("dx").as<T>(), a.workspace);
    });
  }
  static void dw(const Args& a) {
    Algorithm::by_type(a.in[0].spec, [&]<class T>(T, auto passes) {
      passes.dw(Algorithm::shape(a), a.input("dy").as<T>(), a.input("x").as<T>(), a.output("dw").as<T>(), a.workspace);
    });
  }
  static size_t forward_bytes(const Problem& p) {
    return Algorithm::by_type(p.in[0], [&](auto, auto passes) { return passes.forward_bytes(Algorithm::shape(p)); });
  }
  static size_t dx_bytes(const Problem& p) {
    return Algorithm::by_type(p.in[0], [&](auto, auto passes) { return passes.dx_bytes(Algorithm::shape(p)); });
  }
  static size_t dw_bytes(const Problem& p) {
    return Algorithm::by_type(p.in[0], [&](auto, auto passes) { return passes.dw_bytes(Algorithm::shape(p)); });
  }
};

}  // namespace rt::cpu
