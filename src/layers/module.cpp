#include "layers/module.hpp"

namespace rt {

void Module::visit(const std::function<void(Module&)>& f) {
  f(*this);
  for (auto& c : children_) c->visit(f);
}

Parameter* Module::parameter(std::string name, Shape shape, Init init, bool decays, int64_t fan) {
  parameters_.push_back(std::make_unique<Parameter>(
      Parameter{.name = std::move(name), .shape = shape, .init = init, .decays = decays, .fan = fan}));
  return parameters_.back().get();
}

Statistic* Module::statistic(std::string name, Shape shape, Init init) {
  statistics_.push_back(std::make_unique<Statistic>(Statistic{.name = std::move(name), .shape = shape, .init = init}));
  return statistics_.back().get();
}

void Module::finish() {
  size_t parameters = 0;
  size_t statistics = 0;
  visit([&](Module& m) {
    const std::string prefix = m.name_.empty() ? "" : m.name_ + ".";
    for (auto& c : m.children_) c->name_ = prefix + c->name_;
    for (auto& p : m.parameters_) {
      p->name = prefix + p->name;
      p->index = parameters++;
    }
    for (auto& s : m.statistics_) {
      s->name = prefix + s->name;
      s->index = statistics++;
    }
  });
}

}  // namespace rt
