// A case in memory. Ranges are chosen so that no element sits near a kink: a finite difference across one means
// nothing.
#include "core/rng.hpp"
#include "kernels/cases/cases.hpp"

namespace rt {
namespace {

void fill(const CaseInput& input, uint32_t number, const View& view) {
  if (view.spec.dtype == DType::f16 || view.spec.dtype == DType::bf16) {  // the f32 numbers, rounded
    const Tensor wide({view.spec.shape, DType::f32, view.spec.layout});
    fill(input, number, wide.view());
    return copy_convert(wide.view(), view);
  }
  Rng rng(20240607, RngPurpose::test, number);
  const int64_t count = view.numel();
  if (view.spec.dtype == DType::u8) {
    for (int64_t i = 0; i < count; ++i) view.as<uint8_t>()[i] = static_cast<uint8_t>(rng.below(256));
    return;
  }
  std::vector<uint32_t> order;
  if (input.fill == Fill::distinct) order = shuffled(static_cast<uint32_t>(count), 20240607, RngPurpose::test, number);
  int64_t drawn = 0;
  auto draw = [&] {
    if (!input.numbers.empty()) return input.numbers[static_cast<size_t>(drawn++)];
    if (input.fill == Fill::distinct)
      return input.low + (input.high - input.low) * static_cast<float>(order[static_cast<size_t>(drawn++)]) /
                             static_cast<float>(count);
    const float v = rng.uniform(input.low, input.high);
    return input.fill == Fill::off_zero && rng.below(2) ? -v : v;
  };
  auto put = [&](int64_t i) {
    if (view.spec.dtype == DType::i32)
      view.as<int32_t>()[i] = static_cast<int32_t>(draw());
    else if (view.spec.dtype == DType::f64)
      view.as<double>()[i] = static_cast<double>(draw());
    else
      view.as<float>()[i] = draw();
  };
  const Shape& s = view.shape();
  if (s.rank() < 4) {
    for (int64_t i = 0; i < count; ++i) put(i);
    return;
  }
  const Strides t = view.spec.strides();  // in logical order, so that every layout gets the same numbers
  for (int64_t n = 0; n < s.n(); ++n)
    for (int64_t c = 0; c < s.c(); ++c)
      for (int64_t h = 0; h < s.h(); ++h)
        for (int64_t w = 0; w < s.w(); ++w) put(n * t.n + c * t.c + h * t.h + w * t.w);
}

}  // namespace

CaseRun::CaseRun(const OpCase& c, DType dtype, Layout layout, Device device) : op_case(c), dtype_(dtype) {
  for (const CaseInput& input : c.in) {
    const bool follows = input.role == Role::activation || input.role == Role::image ||
                         (input.role == Role::parameter && device == Device::cuda);
    const bool half = dtype == DType::f16 || dtype == DType::bf16;
    const bool stays_f32 =
        half && (input.role == Role::state || (input.role == Role::parameter && input.shape.rank() == 1));
    values.emplace_back(Spec{input.shape,
                             input.role == Role::labels  ? DType::i32
                             : input.role == Role::bytes ? DType::u8
                             : stays_f32                 ? DType::f32
                                                         : dtype,
                             follows && input.shape.rank() == 4 ? layout : Layout::nchw});
    fill(input, static_cast<uint32_t>(values.size()), values.back().view());
  }
}

bool CaseRun::wants_gradient(size_t i) const {
  return op_case.in[i].role == Role::activation || op_case.in[i].role == Role::parameter;
}

void CaseRun::upload() {
  for (const Tensor& value : values) {
    device_.emplace_back(value.spec().bytes(), Device::cuda);
    write_to({value.spec(), device_.back().data()}, Device::cuda, value.view().data);
  }
}
View CaseRun::where(const Tensor& value, size_t i) const {
  return {value.spec(), device_.empty() ? value.view().data : device_[i].data()};
}

void CaseRun::forward(Tape& tape) {
  in.clear();
  for (size_t i = 0; i < values.size(); ++i)
    in.push_back(tape.external(where(values[i], i), op_case.in[i].name, wants_gradient(i)));
  out = op_case.record(tape, in);
}

void CaseRun::record(Tape& tape) {
  forward(tape);
  if (!op_case.has_backward) return;
  direction = Tensor(tape.spec(out));
  fill({"direction", {}, Role::state, Fill::off_zero, 0.5f, 1.5f}, 0, direction.view());
  if (!device_.empty()) {
    device_.resize(values.size());
    device_.emplace_back(direction.spec().bytes(), Device::cuda);
    write_to({direction.spec(), device_.back().data()}, Device::cuda, direction.view().data);
  }
  tape.backward(out, tape.external(where(direction, values.size()), "direction"));
}

std::vector<Var> CaseRun::outputs(const Tape& tape) const {
  std::vector<Var> list{out};
  for (size_t i = 0; i < in.size(); ++i) {
    if (op_case.has_backward && wants_gradient(i)) list.push_back(tape.gradient(in[i]));
    if (op_case.in[i].role == Role::state) list.push_back(in[i]);
  }
  return list;
}

}  // namespace rt
