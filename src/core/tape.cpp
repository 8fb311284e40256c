#include "core/tape.hpp"

#include <algorithm>

namespace rt {

Tape::Tape(Mode mode, std::span<const Row> table, const Target& target) : mode_(mode), table_(table), target_(target) {}

Var Tape::external(const View& view, std::string name, bool needs_grad) {
  values_.push_back(
      {.spec = view.spec, .name = std::move(name), .data = view.data, .external = true, .needs_grad = needs_grad});
  return {static_cast<int>(values_.size()) - 1};
}

Var Tape::make(const Spec& spec, std::string name) {
  Value value{.spec = spec, .name = std::move(name)};
  if (mode_ == Mode::eager) {
    owned_.emplace_back(spec.bytes(), target_.device);
    value.data = owned_.back().data();
  }
  values_.push_back(std::move(value));
  return {static_cast<int>(values_.size()) - 1};
}

View Tape::view(Var v) const {
  RT_CHECK(v && value(v).data, "value '{}' has no memory: it was traced, not run", v ? value(v).name : "");
  return {spec(v), value(v).data};
}

std::vector<Var> Tape::apply(OpPtr op, std::span<const Var> in) {
  std::vector<Spec> specs;
  bool needs_grad = false;
  for (Var v : in) {
    specs.push_back(spec(v));
    needs_grad |= value(v).needs_grad;
  }
  std::vector<Var> out;
  for (const Spec& s : op->infer(specs)) {
    out.push_back(make(s, label_.empty() ? std::string(op->name()) : label_));
    values_.back().needs_grad = needs_grad;
  }
  applied_.push_back({op, {in.begin(), in.end()}, out, label_});
  op->forward(*this, in, out);
  return out;
}

void Tape::step(std::string_view kind, const Op* self, std::vector<Var> in, std::vector<Var> out) {
  // The op that is being applied, or whose backward is running, is always the one that calls.
  auto it = std::find_if(applied_.rbegin(), applied_.rend(), [&](const Applied& a) { return a.op.get() == self; });
  RT_CHECK(it != applied_.rend(), "{}: a step recorded by an op that was not applied", kind);
  step(kind, it->op, std::move(in), std::move(out));
}

void Tape::step(std::string_view kind, OpPtr op, std::vector<Var> in, std::vector<Var> out) {
  Step s{.kind = kind, .in = std::move(in), .out = std::move(out), .label = label_};
  if (op) s.ops.push_back(std::move(op));
  if (mode_ == Mode::eager) run(s);
  steps_.push_back(std::move(s));
}

void Tape::run(const Step& s) {
  const StepViews views(s, [&](Var v) { return view(v); });
  const Row& row = select_row(table_, target_, views.problem());
  if (const size_t bytes = workspace_bytes(row, views.problem()); bytes > scratch_.bytes())
    scratch_ = Storage(bytes, target_.device);
  run_row(row,
          {.ops = s.ops, .in = views.in, .out = views.out, .workspace = scratch_.data(), .stream = stream_of(target_)});
}

void fail_attributes(Ops ops, const char* wanted) {
  std::string names;
  for (const OpPtr& op : ops) names += (names.empty() ? "" : ", ") + std::string(op->name());
  fail(ExitCode::runtime, "a step was recorded by {}, and its row looks for the attributes of {}",
       names.empty() ? "no op" : names, wanted);
}

bool Gradients::wants(int i) const { return tape_.value(in[static_cast<size_t>(i)]).needs_grad; }

Var Gradients::din(int i) {
  const size_t k = static_cast<size_t>(i);
  if (din_[k]) return din_[k];
  const Tape::GradientTarget* target = tape_.target_of(in[k]);
  if (target && !target->accumulate && !tape_.gradient(in[k]) && tape_.spec(target->target) == tape_.spec(in[k]))
    return din_[k] = target->target;
  return din_[k] = tape_.make(tape_.spec(in[k]), "d " + tape_.value(in[k]).name);
}

void Gradients::pass(int i, Var gradient) { din_[static_cast<size_t>(i)] = gradient; }

Tape::GradientTarget* Tape::target_of(Var parameter) {
  auto it = std::find_if(targets_.begin(), targets_.end(), [&](auto& t) { return t.parameter == parameter; });
  return it == targets_.end() ? nullptr : &*it;
}

void Tape::set_gradient_target(Var parameter, Var target, bool accumulate) {
  RT_CHECK(spec(parameter).shape == spec(target).shape, "gradient target of '{}' is {}, the parameter is {}",
           value(parameter).name, spec(target).str(), spec(parameter).str());
  targets_.push_back({parameter, target, accumulate});
}

Var Tape::gradient(Var v) const {
  return static_cast<size_t>(v.id) < gradients_.size() ? gradients_[static_cast<size_t>(v.id)] : Var{};
}

void Tape::add_gradient(Var of, Var contribution) {
  if (gradients_.size() < values_.size()) gradients_.resize(values_.size());
  Var& slot = gradients_[static_cast<size_t>(of.id)];
  const GradientTarget* target = target_of(of);
  if (target && contribution != target->target) {
    const bool add = slot || target->accumulate;  // else it only has another type, as in half precision
    RT_CHECK(add || spec(contribution) != spec(target->target),
             "the gradient of '{}' is another value's and cannot be written to its target", value(of).name);
    if (add)
      step("accumulate", OpPtr{}, {target->target, contribution}, {target->target});
    else
      step("convert", OpPtr{}, {contribution}, {target->target});
    slot = target->target;
  } else if (!slot) {
    slot = contribution;
  } else {
    const Var sum = make(spec(of), "d " + value(of).name);
    step("accumulate", OpPtr{}, {slot, contribution}, {sum});
    gradients_[static_cast<size_t>(of.id)] = sum;  // not `slot`: make() may have moved the vector
  }
}

void Tape::backward(Var loss, Var dloss) {
  gradients_.assign(values_.size(), Var{});
  gradients_[static_cast<size_t>(loss.id)] = dloss;
  for (size_t a = applied_.size(); a-- > 0;) {
    const Applied applied = applied_[a];
    std::vector<Var> dout;
    bool reached = false;
    for (Var v : applied.out) {
      dout.push_back(gradient(v));
      reached |= static_cast<bool>(dout.back());
    }
    if (!reached || !value(applied.out[0]).needs_grad) continue;
    Scope scope(*this, applied.label);
    Gradients g(*this, applied.in.size());
    g.in = applied.in;
    g.out = applied.out;
    g.dout = dout;
    applied.op->backward(*this, g);
    for (size_t i = 0; i < applied.in.size(); ++i)
      if (g.wants(static_cast<int>(i)) && g.din_[i]) add_gradient(applied.in[i], g.din_[i]);
  }
}

}  // namespace rt
