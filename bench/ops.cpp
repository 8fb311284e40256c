#include "bench/ops.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "bench/commands.hpp"
#include "bench/figures.hpp"
#include "core/clock.hpp"
#include "core/cuda.hpp"
#include "tools/words.hpp"

namespace rt {
namespace {

struct Group {  // steps of the same kind, shape and row
  StepTiming timing;
  std::vector<size_t> members;  // positions in the plan
  bool wanted;
  std::vector<double> samples = {}, peer_samples = {};
};

std::string shape_text(const Problem& p) {
  if (const auto s = conv2d_of(p))
    return rt::format("{} {}x{}/{} -> {}", Shape{s->n, s->c, s->h, s->w}.str(), s->r, s->s, s->stride, s->k);
  const Spec* largest = &p.out[0];
  for (std::span<const Spec> specs : {p.in, p.out})
    for (const Spec& spec : specs)
      if (spec.bytes() > largest->bytes()) largest = &spec;
  return largest->shape.str();
}

std::vector<Group> groups_of(const Plan& plan, const OpBenchOptions& o) {
  std::vector<Group> groups;
  std::map<std::string, size_t> known;
  for (size_t i = 0; i < plan.steps().size(); ++i) {
    const Step& step = plan.steps()[i];
    const StepSpecs specs(step, [&](Var v) -> const Spec& { return plan.spec(v); });
    const Problem problem = specs.problem();
    std::string key = rt::format("{} {} {}", step.kind, step.row->name, shape_text(problem));
    for (const auto& side : {problem.in, problem.out})
      for (const Spec& spec : side) key += spec.str();
    const auto [at, is_new] = known.try_emplace(key, groups.size());
    if (is_new) {
      StepTiming t{};
      t.layer = step.label;
      t.kind = step.kind;
      t.row = step.row->name;
      t.shape = shape_text(problem);
      t.work = work_of(*step.row, problem);
      groups.push_back({.timing = std::move(t), .members = {}, .wanted = false});
    }
    Group& group = groups[at->second];
    group.members.push_back(i);
    ++group.timing.count;
    for (std::string_view name : {step.kind, std::string_view(step.label), std::string_view(step.row->name)})
      group.wanted |= name.find(o.filter) != std::string_view::npos;
    if (o.peer && !conv2d_of(problem)) group.wanted = false;
  }
  return groups;
}

// Times every step of `repeat` training steps; a sample is the mean over a group's members.
void time_in_place(Workload& w, const Plan& plan, int repeat, std::vector<Group>& groups) {
  std::vector<double> ms(plan.steps().size());
  double last = 0;
  w.executor().set_observer([&](const Step& step) {
    const double now = now_ms();
    ms[static_cast<size_t>(&step - plan.steps().data())] = now - last;
    last = now_ms();
  });
  for (int r = -1; r < repeat; ++r) {  // the first one warms up
    const Batch& batch = w.next();
    last = now_ms();
    w.enqueue(batch);
    w.finish();
    if (r < 0) continue;
    for (Group& g : groups) {
      double sum = 0;
      for (size_t i : g.members) sum += ms[i];
      g.samples.push_back(sum / static_cast<double>(g.members.size()));
    }
  }
  w.executor().set_observer({});
}

std::vector<std::unique_ptr<PeerConvolution>> peer_steps(const Peer& peer, const Step& step, const Problem& problem) {
  std::vector<std::unique_ptr<PeerConvolution>> list;
  const auto shape = conv2d_of(problem);
  if (!shape) return list;
  const bool both = step.kind.starts_with("conv2d.backward");
  if (step.kind.starts_with("conv2d.forward")) list.push_back(peer.convolution(*shape, Conv2dPass::forward));
  if (both || step.kind.starts_with("conv2d.dw")) list.push_back(peer.convolution(*shape, Conv2dPass::dw));
  if (both || step.kind.starts_with("conv2d.dx")) list.push_back(peer.convolution(*shape, Conv2dPass::dx));
  return list;
}

// Times one step once it has run in its place: its inputs still stand, because nothing shares memory here.
void time_alone(const Step& step, const Plan& plan, const OpBenchOptions& o, Group& group) {
  const StepViews views(step, [&](Var v) { return plan.view(v); });
  const bool on_cuda = step.row->device == Device::cuda;
  const Storage workspace(workspace_bytes(*step.row, views.problem()), step.row->device);
  const Args args{.ops = step.ops,
                  .in = views.in,
                  .out = views.out,
                  .workspace = workspace.data(),
                  .stream = on_cuda ? cuda::compute_stream() : nullptr,
                  .variant = step.variant};
  const int runs = on_cuda ? 20 : 1;  // one wait for as many launches
  auto ours = [&] {
    for (int i = 0; i < runs; ++i) run_row(*step.row, args);
    if (on_cuda) cuda::synchronize(args.stream);
  };
  std::vector<std::unique_ptr<PeerConvolution>> peers;
  if (o.peer) peers = peer_steps(*o.peer, step, views.problem());
  auto theirs = [&] {
    for (const auto& p : peers) p->run();
  };
  ours();
  theirs();
  const double box_ms = 1e3 * o.step_seconds, start = now_ms();
  do {
    const double before = now_ms();
    ours();
    const double between = now_ms();
    theirs();
    group.samples.push_back((between - before) / runs);
    if (!peers.empty()) group.peer_samples.push_back(now_ms() - between);
  } while (group.samples.size() < 1000 && now_ms() - start < (group.samples.size() < 3 ? 10 * box_ms : box_ms));
}

void time_each_alone(Workload& w, const Plan& plan, const OpBenchOptions& o, std::vector<Group>& groups) {
  std::map<size_t, Group*> first;  // wanted groups by the position of their first step
  for (Group& g : groups)
    if (g.wanted) first[g.members[0]] = &g;
  w.executor().set_observer([&](const Step& step) {
    const auto found = first.find(static_cast<size_t>(&step - plan.steps().data()));
    if (found != first.end()) time_alone(step, plan, o, *found->second);
  });
  w.step();
  w.finish();
  w.executor().set_observer({});
}

}  // namespace

std::vector<StepTiming> bench_ops(const OpBenchOptions& o) {
  WorkloadOptions workload = o.workload;
  const bool alone = o.alone || o.peer || workload.device != "cpu";
  workload.settings.push_back("optimize.plan=true");
  if (alone) workload.settings.insert(workload.settings.end(), {"optimize.memory=false", "optimize.graph=false"});
  Workload w(workload);
  const Plan& plan = w.plan();
  std::vector<Group> groups = groups_of(plan, o);
  if (std::none_of(groups.begin(), groups.end(), [](const Group& g) { return g.wanted; })) {
    std::set<std::string> kinds;
    for (const Group& g : groups) kinds.insert(g.timing.kind);
    fail(ExitCode::usage, "rbench ops: '{}' is part of no {}'s kind, layer or row; the kinds are {}", o.filter,
         o.peer ? "convolution" : "step", joined(kinds, ", "));
  }
  if (alone)
    time_each_alone(w, plan, o, groups);
  else
    time_in_place(w, plan, o.repeat, groups);

  double total = 0;
  std::vector<StepTiming> timings;
  for (Group& g : groups) {
    if (g.samples.empty()) continue;
    StepTiming& t = g.timing;
    const Spread ms = spread_of(g.samples);
    t.ms = ms.median;
    t.ms_min = ms.least;
    t.ms_max = ms.most;
    t.repeats = static_cast<int>(g.samples.size());
    t.peer_ms = spread_of(g.peer_samples).median;
    total += t.ms * t.count;
    if (g.wanted) timings.push_back(t);
  }
  for (StepTiming& t : timings) t.share = t.ms * t.count / total;
  return timings;
}

namespace {

struct OpsCommand {
  OpBenchOptions options;
  std::vector<std::string> words;
  std::string peer;
  bool json = false;
};

int run(const OpsCommand& c) {
  OpBenchOptions o = c.options;
  const Words words = split_words(c.words);
  if (words.names.size() > 1)
    fail(ExitCode::usage, "rbench ops takes one filter, not both '{}' and '{}'", words.names[0], words.names[1]);
  if (!words.names.empty()) o.filter = words.names[0];
  o.workload.settings = words.settings;
  if (c.peer.empty()) return run_op_bench(o, c.json);
  if (!linked_peer) fail(ExitCode::usage, "--peer: only the program rbench links other libraries");
  const Peer peer = linked_peer();
  o.peer = &peer;
  return run_op_bench(o, c.json);
}

std::function<int()> add(CLI::App& command) {
  const auto c = std::make_shared<OpsCommand>();
  OpBenchOptions& o = c->options;
  add_workload(command, o.workload);
  command.add_option("words", c->words, "part of a step's kind, layer or row; optimize.* switches")
      ->type_name("[FILTER] [key=value]...");
  command.add_option("--repeat", o.repeat, "training steps")->check(CLI::Range(1, 1000))->capture_default_str();
  command.add_flag("--alone", o.alone, "each step by itself, again and again, instead of within training steps");
  command.add_option("--peer", c->peer, "convolutions by this library too, each by itself and interleaved with ours")
      ->check(CLI::IsMember({"onednn"}));
  add_json(command, c->json);
  return [c] { return run(*c); };
}

}  // namespace

const Verb ops_command = {
    .name = "ops",
    .help = R"(Time every layer and pass of a training step, beside what the machine can do.

  {0}
  {0} conv2d.dw --json
  {0} layer3 --alone optimize.fuse=false)",
    .add = add,
};

}  // namespace rt
