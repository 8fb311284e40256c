#include "train/engine/self_test.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <set>

#include "core/log.hpp"
#include "core/rng.hpp"
#include "kernels/conv2d/cudnn/cudnn_choices.hpp"
#include "kernels/cuda/via_cpu.hpp"
#include "kernels/row_check.hpp"
#include "layers/models.hpp"

namespace rt {
namespace {

constexpr int64_t images = 4;
constexpr int problems_per_row = 3;  // a convolution row serves many shapes, and its library picks other code for each

// A step of the same kind of net, narrow, on a few small images.
struct SmallStep {
  std::unique_ptr<Model> net;
  std::unique_ptr<ModelState> state;
  std::unique_ptr<Executor> executor;
  std::vector<uint8_t> pixels;
  std::vector<int32_t> samples, labels;
  Batch batch;

  SmallStep(ExecutorOptions options, ModelConfig config, std::shared_ptr<const std::vector<RefusedRow>> refused) {
    config.width = self_test_width;
    net = make_model(config);
    state = std::make_unique<ModelState>(*net, options.optimizer);
    state->initialise(0);
    Rng rng(0, RngPurpose::sample);
    std::vector<std::vector<NamedView>> lists;  // without numbers in them the update would have nothing to do
    for (std::string_view slot : state->slots()) lists.push_back(state->in_slot(slot));
    lists.push_back(state->gradients());
    for (const auto& list : lists)
      for (const NamedView& v : list)
        for (int64_t i = 0; i < v.view.numel(); ++i) v.view.as<float>()[i] = rng.uniform(-1, 1);
    options.largest_batch = images;
    const int64_t usual = config.stem == "imagenet" ? 64 : 16;
    options.height = options.width = std::max(usual, net->smallest_side());
    options.refused = std::move(refused);
    const float mean[] = {0.5f, 0.5f, 0.5f}, deviation[] = {0.25f, 0.25f, 0.25f};
    options.normalise = std::make_shared<Tensor>(normalise_table(mean, deviation));
    executor = std::make_unique<Executor>(*net, *state, options);
    if (options.precision == DType::f16) state->control_values()[0] = 2;  // so that its update happens
    pixels.resize(static_cast<size_t>(images * config.channels * options.height * options.width));
    for (uint8_t& p : pixels) p = static_cast<uint8_t>(rng.next() >> 24);
    for (int32_t i = 0; i < images; ++i) {
      samples.push_back(i);
      labels.push_back(static_cast<int32_t>(rng.below(static_cast<uint32_t>(config.classes))));
    }
    batch.count = images;
    batch.pixels = pixels.data();
    batch.samples = samples.data();
    batch.labels = labels.data();
  }
};

// Runs `row` on the device from the host's inputs. Returns what is wrong with its outputs, or "".
std::string check_row(const Row& row, const Step& step, std::span<const View> in, std::span<const View> in_before,
                      std::span<const View> want) {
  std::vector<Storage> memory;
  std::vector<View> device_in, device_out;
  std::vector<Spec> in_specs, out_specs;
  auto place = [&](const View& v, bool filled) {
    memory.emplace_back(v.spec.bytes(), Device::cuda);
    const View there{v.spec, memory.back().data()};
    if (filled) write_to(there, Device::cuda, v.data);
    return there;
  };
  for (size_t i = 0; i < in.size(); ++i) {
    device_in.push_back(place(in_before[i], true));
    in_specs.push_back(in[i].spec);
  }
  for (size_t i = 0; i < want.size(); ++i) {
    out_specs.push_back(want[i].spec);
    const auto same = std::find(step.in.begin(), step.in.end(), step.out[i]);  // state stands on both sides
    device_out.push_back(same == step.in.end() ? place(want[i], false)
                                               : device_in[static_cast<size_t>(same - step.in.begin())]);
  }
  const Storage workspace(workspace_bytes(row, {.ops = step.ops, .in = in_specs, .out = out_specs}), Device::cuda);
  try {
    run_row(row, {.ops = step.ops,
                  .in = device_in,
                  .out = device_out,
                  .workspace = workspace.data(),
                  .stream = cuda::compute_stream()});
    for (size_t i = 0; i < want.size(); ++i) {
      const Tensor got = read_back(device_out[i], Device::cuda);
      const std::string wrong = mismatch(got.view(), want[i], row_tolerance(row.kind, in[0].spec.dtype, want, i));
      if (!wrong.empty()) return wrong;
    }
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// Does the same where a library offers the row several algorithms: one that is wrong is refused, and the next tried.
// Only where all are wrong, the row is.
std::string check_algorithms(const Row& row, const Step& step, std::span<const View> in,
                             std::span<const View> in_before, std::span<const View> want) {
  const auto before = cudnn::choices().refused;
  cudnn::choices().latest.reset();
  const std::string first = check_row(row, step, in, in_before, want);
  std::vector<std::string> refused;  // said only when another one passes: else the row is refused instead of them
  for (std::string wrong = first; !wrong.empty();) {
    const std::optional<std::string> algorithm = cudnn::refuse_latest();
    if (!algorithm) {  // the algorithms are not to blame
      cudnn::choices().refused = before;
      return first;
    }
    refused.push_back(rt::format("cuDNN's algorithm {} for {} failed its self-test and will not be used: {}",
                                 *algorithm, row.kind, wrong));
    wrong = check_row(row, step, in, in_before, want);
  }
  for (const std::string& why : refused) log_warning("{}", why);
  return "";
}

// Runs every step once by the reference and passes its values on; beside it each row runs on its first few problems.
std::vector<RefusedRow> test_once(const Plan& plan, std::span<const Row> table, std::set<const Row*>& tested) {
  std::map<int, Tensor> host;
  auto value = [&](Var v) {
    auto it = host.find(v.id);
    if (it == host.end()) {
      const Value& x = plan.value(v);
      it = host.emplace(v.id, x.external && x.data ? read_back({x.spec, x.data}, Device::cuda) : Tensor(x.spec)).first;
    }
    return it->second.view();
  };
  std::vector<RefusedRow> bad;
  std::map<const Row*, int> done;
  for (const Step& step : plan.steps()) {
    std::vector<View> in, out;
    for (Var v : step.in) in.push_back(value(v));
    for (Var v : step.out) out.push_back(value(v));
    std::vector<Tensor> before;
    std::vector<View> before_views;
    for (const View& v : in) {
      before.push_back(read_back(v, Device::cpu));
      before_views.push_back(before.back().view());
    }
    const Row& reference = reference_row(table, step.kind);
    run_on_host(reference.run, reference.workspace, {.kind = reference.kind, .ops = step.ops, .in = in, .out = out});
    const bool refused = std::any_of(bad.begin(), bad.end(), [&](const RefusedRow& r) { return r.kind == step.kind; });
    if (step.row->last_resort || refused || tested.contains(step.row) || done[step.row]++ >= problems_per_row) continue;
    const std::string wrong = check_algorithms(*step.row, step, in, before_views, out);
    if (!wrong.empty()) bad.push_back({.kind = step.row->kind, .name = step.row->name, .reason = wrong});
  }
  for (const auto& [row, count] : done) tested.insert(row);
  return bad;
}

const ChoiceFile::Format passed_format{"a self-test that passed", [](const std::vector<std::string>& fields) {
                                         return fields.size() == 2 && fields[1] == "passed";
                                       }};

// What a passed test holds for: this very program on this device, with these libraries, computing these steps.
std::string cache_key(const ExecutorOptions& o, const ModelConfig& net) {
  const cuda::Support& s = cuda::support();
  std::error_code none;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", none);
  const auto changed = std::filesystem::last_write_time(program, none).time_since_epoch().count();
  return rt::format("{} {} driver {} runtime {} cudnn {} cublas {} {} {} {}{}{} unfused [{}] {} {} {} {} {}",
                    RT_VERSION, changed, s.driver, s.runtime, s.cudnn, s.cublas,
                    s.devices.at(static_cast<size_t>(cuda::device_in_use())).name, cuda_target().capability,
                    o.optimize.fuse, o.optimize.layout, o.optimize.select, o.optimize.unfused,
                    cudnn::choices().deterministic ? "deterministic" : "any order", name_of(o.precision), net.arch,
                    net.stem, o.optimizer->name);
}

}  // namespace

std::shared_ptr<const std::vector<RefusedRow>> self_test(const ExecutorOptions& options, const ModelConfig& net,
                                                         bool use_cache) {
  const std::string key = cache_key(options, net);
  ChoiceFile passed(use_cache ? user_cache_file("self-tests.txt") : "", passed_format);
  if (passed.find(key)) return nullptr;
  const auto start = std::chrono::steady_clock::now();
  auto refused = std::make_shared<std::vector<RefusedRow>>();
  std::set<const Row*> tested;
  for (;;) {  // until what takes a refused row's place has passed, too
    SmallStep small(options, net, refused);
    std::vector<RefusedRow> bad = test_once(small.executor->prepared_plan(small.batch, true), options.table, tested);
    if (bad.empty()) bad = test_once(small.executor->prepared_plan(small.batch, false), options.table, tested);
    if (bad.empty()) break;
    refused = std::make_shared<std::vector<RefusedRow>>(*refused);
    for (const RefusedRow& r : bad) {
      log_warning("{} of {} failed its self-test and will not be used: {}", r.name, r.kind, r.reason);
      refused->push_back(r);
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  log_info("self-test: {} CUDA kernels agree with the CPU, {} do not ({:.1f} s)", tested.size() - refused->size(),
           refused->size(), seconds);
  if (refused->empty() && cudnn::choices().refused.empty()) passed.remember(key, "passed");
  return refused;
}

}  // namespace rt
