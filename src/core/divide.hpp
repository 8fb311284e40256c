// Division of whole numbers that are not negative, upwards.
#pragma once
#include <concepts>
#include <type_traits>

namespace rt {

template <std::integral T>
constexpr T ceil_div(T a, std::type_identity_t<T> b) {
  return (a + b - 1) / b;
}
template <std::integral T>
constexpr T round_up(T a, std::type_identity_t<T> unit) {  // to a multiple of `unit`
  return ceil_div(a, unit) * unit;
}

}  // namespace rt
