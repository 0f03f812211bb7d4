// A job is one call into core: a struct with its inputs and outputs, `Status run()` and `Napi::Value
// result(env)`. run_job runs it on the calling thread, or on a worker behind a promise.
#pragma once

#include <napi.h>

#include <exception>
#include <new>
#include <string>
#include <utility>

#include "core/base/status.h"
#include "node/arguments.h"

namespace perception::node {

// An Error with the code that PerceptionError carries; the TypeScript layer makes the PerceptionError.
inline Napi::Error to_error(Napi::Env env, const Status& status) {
  Napi::Error error = Napi::Error::New(env, status.message());
  error.Set("code", Napi::String::New(env, code_name(status.code())));
  return error;
}

// Runs `body` so that no C++ exception passes.
template <class Body>
Status guarded(Body&& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return {Code::kOutOfMemory, "not enough memory for this batch; split it into smaller ones"};
  } catch (const std::exception& error) {
    return {Code::kInternal, error.what()};
  }
}

template <class Job>
class JobWorker : public Napi::AsyncWorker {
 public:
  JobWorker(Napi::Env env, Job job)
      : Napi::AsyncWorker(env, "perception-r1"),
        deferred_(Napi::Promise::Deferred::New(env)),
        job_(std::move(job)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    status_ = guarded([this] { return job_.run(); });
  }
  void OnOK() override {
    try {
      if (status_.ok())
        deferred_.Resolve(job_.result(Env()));
      else
        deferred_.Reject(to_error(Env(), status_).Value());
    } catch (const Napi::Error&) {
      // The worker_thread that asked is being terminated: JavaScript runs no more, and nobody awaits the
      // promise.
    }
  }

 private:
  Napi::Promise::Deferred deferred_;
  Job job_;
  Status status_;
};

template <class Job>
Napi::Value run_job(Napi::Env env, Job job, bool async) {
  if (async) {
    auto* worker = new JobWorker<Job>(env, std::move(job));  // deletes itself when done
    Napi::Promise promise = worker->promise();
    worker->Queue();
    return promise;
  }
  const Status status = guarded([&] { return job.run(); });
  if (!status.ok()) throw to_error(env, status);
  return job.result(env);
}

// The body of an exported function: argument errors become JavaScript errors.
template <class Body>
Napi::Value exported(const Napi::CallbackInfo& info, Body&& body) {
  try {
    return body(info);
  } catch (const ArgumentError& error) {
    throw to_error(info.Env(), error.status);
  } catch (const std::bad_alloc&) {
    throw to_error(info.Env(), {Code::kOutOfMemory, "not enough memory for this batch"});
  }
}

}  // namespace perception::node
