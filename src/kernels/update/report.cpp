#include "kernels/update/report.hpp"

namespace rt {
namespace {

class Report final : public Op {
 public:
  std::string_view name() const override { return "report"; }
  // loss correct control target [norm]: the target is the caller's, nothing new is made
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    RT_CHECK(in[0] == Spec{} && in[1] == Spec({{2}, DType::i32}) && in[2] == Spec({{4}}) &&
                 in[3] == Spec({{report_fields}}) && (in.size() == 4 || in[4] == Spec({{3}})),
             "report: loss {}, correct {}, control {}, target {}{}{}: [] f32, [2] i32, [4], [{}] and [3] f32 expected",
             in[0].str(), in[1].str(), in[2].str(), in[3].str(), in.size() == 4 ? "" : ", norm ",
             in.size() == 4 ? "" : in[4].str(), static_cast<int>(report_fields));
    return {};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var>) const override {
    std::vector<Var> read{in[0], in[1], in[2]};
    if (in.size() > 4) read.push_back(in[4]);
    tape.step(kinds::report, this, std::move(read), {in[3]});
  }
  void backward(Tape&, Gradients&) const override {}
};

}  // namespace

void report(Tape& tape, Var loss, Var correct, Var control, Var norm, Var target) {
  std::vector<Var> in{loss, correct, control, target};
  if (norm) in.push_back(norm);
  tape.apply(std::make_shared<Report>(), in);
}

void cpu::reference::report(const Args& a) {
  write_report(a.in[0].as<float>(), a.in[1].as<int32_t>(), a.in[2].as<float>(),
               a.in.size() > 3 ? a.in[3].as<float>() : nullptr, a.out[0].as<float>());
}

}  // namespace rt
