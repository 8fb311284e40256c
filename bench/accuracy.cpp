#include "bench/accuracy.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench/commands.hpp"
#include "bench/figures.hpp"
#include "core/rng.hpp"
#include "core/tape.hpp"
#include "kernels/conv2d/direct/conv2d_few.hpp"
#include "kernels/flops.hpp"
#include "kernels/table.hpp"
#include "layers/models.hpp"
#include "layers/state.hpp"

namespace rt {
namespace {

Tensor random(const Spec& spec, uint32_t which) {
  Tensor t(spec);
  Rng rng(7, RngPurpose::sample, which);
  for (int64_t i = 0; i < spec.shape.numel(); ++i) t.as<float>()[i] = rng.uniform(-1, 1);
  return t;
}

double relative_l2(const Tensor& got, const std::vector<double>& want) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double difference = static_cast<double>(got.as<float>()[i]) - want[i];
    error += difference * difference;
    norm += want[i] * want[i];
  }
  return std::sqrt(error / norm);
}

std::string text_of(const Conv2dShape& s) {
  return rt::format("{}@{}x{} {}x{}/{} -> {}, {} images", s.c, s.h, s.w, s.r, s.s, s.stride, s.k, s.n);
}

}  // namespace

// The innermost loops run over contiguous channels, of weights in an order of their own.
ConvolutionSums::ConvolutionSums(const Conv2dShape& s, const float* x, const float* w, const float* dy) {
  const int64_t taps = s.r * s.s, ck = s.c * s.k;
  std::vector<double> w_ck(static_cast<size_t>(taps * ck)), w_kc(w_ck.size()), dw_ck(w_ck.size());
  auto each_weight = [&](auto&& f) {
    for (int64_t t = 0; t < taps; ++t)
      for (int64_t c = 0; c < s.c; ++c)
        for (int64_t k = 0; k < s.k; ++k)
          f(static_cast<size_t>((k * s.c + c) * taps + t), static_cast<size_t>(t * ck + c * s.k + k),
            static_cast<size_t>(t * ck + k * s.c + c));
  };
  each_weight([&](size_t oihw, size_t tck, size_t tkc) { w_ck[tck] = w_kc[tkc] = static_cast<double>(w[oihw]); });
  y.resize(static_cast<size_t>(s.n * s.p * s.q * s.k));
  dx.resize(static_cast<size_t>(s.n * s.h * s.w * s.c));
  dw.resize(w_ck.size());
  // Calls f(pixel of y, pixel of x) for each pair that tap t connects.
  auto each_pixel = [&](int64_t n, int64_t t, auto&& f) {
    for (int64_t i = 0; i < s.p; ++i)
      for (int64_t j = 0; j < s.q; ++j) {
        const int64_t row = i * s.stride - s.pad + t / s.s, column = j * s.stride - s.pad + t % s.s;
        if (row >= 0 && row < s.h && column >= 0 && column < s.w)
          f((n * s.p + i) * s.q + j, (n * s.h + row) * s.w + column);
      }
  };
  auto add_scaled = [](double* to, const auto* from, float factor, int64_t count) {
    for (int64_t i = 0; i < count; ++i) to[i] += static_cast<double>(factor) * static_cast<double>(from[i]);
  };
#pragma omp parallel for
  for (int64_t n = 0; n < s.n; ++n)
    for (int64_t t = 0; t < taps; ++t)
      each_pixel(n, t, [&](int64_t out, int64_t in) {
        for (int64_t c = 0; c < s.c; ++c)
          add_scaled(&y[static_cast<size_t>(out * s.k)], &w_ck[static_cast<size_t>(t * ck + c * s.k)], x[in * s.c + c],
                     s.k);
        for (int64_t k = 0; k < s.k; ++k)
          add_scaled(&dx[static_cast<size_t>(in * s.c)], &w_kc[static_cast<size_t>(t * ck + k * s.c)],
                     dy[out * s.k + k], s.c);
      });
#pragma omp parallel for
  for (int64_t t = 0; t < taps; ++t)
    for (int64_t n = 0; n < s.n; ++n)
      each_pixel(n, t, [&](int64_t out, int64_t in) {
        for (int64_t c = 0; c < s.c; ++c)
          add_scaled(&dw_ck[static_cast<size_t>(t * ck + c * s.k)], dy + out * s.k, x[in * s.c + c], s.k);
      });
  each_weight([&](size_t oihw, size_t tck, size_t) { dw[oihw] = dw_ck[tck]; });
}

std::vector<Conv2dShape> resnet18_convolutions(bool imagenet, int64_t images) {
  const auto net = make_model({.arch = "resnet18", .stem = imagenet ? "imagenet" : "cifar"});
  ModelState state(*net, nullptr);
  Tape tape(Tape::Mode::trace, kernel_table(), cpu_target());
  Pass pass = state.begin(tape, false);
  const int64_t side = imagenet ? 224 : 32;
  (*net)(pass, tape.make({{images, net->config().channels, side, side}, DType::f32, Layout::nhwc}));
  std::vector<Conv2dShape> list;
  for (const Step& step : tape.steps()) {
    if (step.kind != kinds::conv2d_forward) continue;
    Conv2dShape s = conv2d_shape(step.ops, tape.spec(step.in[0]), tape.spec(step.in[1]));
    while (cpu::few::fits(s)) ++s.n;
    if (std::find(list.begin(), list.end(), s) == list.end()) list.push_back(s);
  }
  return list;
}

std::vector<RowError> convolution_errors(const Conv2dShape& s) {
  const Spec of_x{{s.n, s.c, s.h, s.w}, DType::f32, Layout::nhwc}, of_w{{s.k, s.c, s.r, s.s}};
  const Spec of_y{{s.n, s.k, s.p, s.q}, DType::f32, Layout::nhwc};
  const Tensor x = random(of_x, 0), w = random(of_w, 1), dy = random(of_y, 2);
  Tape tape(Tape::Mode::trace, kernel_table(), cpu_target());
  const Var in[] = {tape.external(x.view(), "x", true), tape.external(w.view(), "w", true)};
  const Var y = conv2d(tape, in[0], in[1], {s.stride, s.pad});
  tape.backward(y, tape.external(dy.view(), "dy"));
  const ConvolutionSums sums(s, x.as<float>(), w.as<float>(), dy.as<float>());

  std::vector<RowError> errors;
  for (const Step& step : tape.steps()) {
    const std::vector<double>& want = step.kind == "conv2d.forward" ? sums.y
                                      : step.kind == "conv2d.dx"    ? sums.dx
                                                                    : sums.dw;
    const StepSpecs specs(step, [&](Var v) -> const Spec& { return tape.spec(v); });
    for (const Row& row : kernel_table()) {
      if (row.kind != step.kind || row.device != Device::cpu || row.min_capability > machine().isa ||
          row.algorithm == Algorithm::reference || !refusal_of(row, specs.problem()).empty())
        continue;
      const Tensor result(specs.out_specs[0]);
      const Storage workspace(workspace_bytes(row, specs.problem()));
      const View out[] = {result.view()};
      std::vector<View> from;
      for (Var v : step.in) from.push_back(tape.view(v));
      run_row(row, {.ops = step.ops, .in = from, .out = out, .workspace = workspace.data()});
      errors.push_back({.pass = step.kind, .row = &row, .relative_l2 = relative_l2(result, want)});
    }
  }
  return errors;
}

int run_accuracy(const AccuracyOptions& o) {
  nlohmann::ordered_json j = provenance();
  j.update({{"isa", name_of(machine().isa)}, {"stem", o.stem}, {"rows", nlohmann::ordered_json::array()}});
  if (!o.json) {
    rt::print("ResNet-18 with the {} stem in f32, on {}: relative L2 distance from sums in f64\n", o.stem,
              machine().cpu_model);
    rt::print("{:<38} {:<15} {:<22} {:>9}\n", "shape", "pass", "row", "error");
  }
  for (const Conv2dShape& s : resnet18_convolutions(o.stem == "imagenet", o.images)) {
    const std::vector<RowError> errors = convolution_errors(s);
    for (const RowError& e : errors) {
      if (e.row->min_capability < errors[0].row->min_capability) continue;  // a lesser instruction set's
      if (o.json)
        j["rows"].push_back({{"shape", text_of(s)}, {"pass", e.pass}, {"row", e.row->name}, {"error", e.relative_l2}});
      else
        rt::print("{:<38} {:<15} {:<22} {:>9.2e}\n", text_of(s), e.pass, e.row->name, e.relative_l2);
    }
  }
  if (o.json) rt::print("{}\n", j.dump(1));
  return 0;
}

const Verb accuracy_command = {
    .name = "accuracy",
    .help = R"(Compare convolutions of ResNet-18 on random numbers with sums in f64.

  {0} --stem imagenet)",
    .add = [](CLI::App& command) -> std::function<int()> {
      const auto o = std::make_shared<AccuracyOptions>();
      command.add_option("--stem", o->stem, "cifar (32x32 images) or imagenet (224x224)")->check(one_of(stems));
      command.add_option("--batch", o->images, "images")->check(CLI::Range(1, 1024))->capture_default_str();
      add_json(command, o->json);
      return [o] { return run_accuracy(*o); };
    },
};

}  // namespace rt
