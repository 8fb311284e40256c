// Modules: layers with named parameters and named children. A module holds no numbers: parameters are described here,
// their memory is a ModelState (layers/state.hpp), and forward() records ops on a tape through a Pass that binds the
// two.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/tape.hpp"

namespace rt {

enum class Init {
  kaiming_fan_out,  // normal, std sqrt(2 / (K*R*S)): He et al., 2015, as torchvision initialises convolutions
  uniform_fan_in,   // uniform within 1/sqrt(fan_in), fan_in given by `fan`: PyTorch's default for Linear
  zeros,
  ones,
};

struct Parameter {   // learned
  std::string name;  // full, as in PyTorch's state_dict: "layer1.0.conv1.weight"
  Shape shape;
  Init init;
  bool decays;  // weight decay applies by default: weights yes, biases and normalisation no
  int64_t fan = 1;
  size_t index = 0;  // among the model's parameters, in order of declaration
};

struct Statistic {  // running mean or variance of a normalisation layer: state that training updates, not learned
  std::string name;
  Shape shape;
  Init init;
  size_t index = 0;
};

// One recording of a model: the tape, and each parameter and statistic as a value on it.
struct Pass {
  Tape& tape;
  bool training;
  std::vector<Var> parameters, statistics;  // by index
  Var operator[](const Parameter& p) const { return parameters[p.index]; }
  Var operator[](const Statistic& s) const { return statistics[s.index]; }
};

class Module {
 public:
  virtual ~Module() = default;
  Var operator()(Pass& pass, Var x) const {
    Tape::Scope scope(pass.tape, name_);
    return forward(pass, x);
  }
  const std::string& name() const { return name_; }  // full: "layer1.0.conv1"; "" for the root

  // Depth first, in order of declaration: the order of PyTorch's state_dict.
  void visit(const std::function<void(Module&)>& f);
  std::vector<std::unique_ptr<Parameter>>& own_parameters() { return parameters_; }
  std::vector<std::unique_ptr<Statistic>>& own_statistics() { return statistics_; }

  // Completes names and indices; call once, on the root, after construction.
  void finish();

 protected:
  virtual Var forward(Pass& pass, Var x) const = 0;
  Parameter* parameter(std::string name, Shape shape, Init init, bool decays, int64_t fan = 1);
  Statistic* statistic(std::string name, Shape shape, Init init);
  template <class M, class... A>
  M* child(std::string name, A&&... arguments) {
    auto owned = std::make_unique<M>(std::forward<A>(arguments)...);
    M* raw = owned.get();
    raw->name_ = std::move(name);
    children_.push_back(std::move(owned));
    return raw;
  }

 private:
  std::string name_;
  std::vector<std::unique_ptr<Module>> children_;
  std::vector<std::unique_ptr<Parameter>> parameters_;
  std::vector<std::unique_ptr<Statistic>> statistics_;
};

}  // namespace rt
