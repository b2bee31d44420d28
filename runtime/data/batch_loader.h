// batch_loader.h: batches in order, made ahead of their use by a thread of its own.
#pragma once
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "runtime/data.h"
#include "runtime/data/source.h"

namespace mezzo::runtime {

struct Batch {
  Rows rows;  // may be empty where every sample was corrupt
  bool ends_epoch = false;
  BatchOrder::Place next;  // where the order goes on behind this batch
};

// The same batches whether a thread makes them or not. An error in a batch is thrown by the next() that would
// have returned it.
class BatchLoader {
 public:
  // `depth` batches are made ahead; 0: none, and no thread. `source` must outlive the loader.
  BatchLoader(const DataSource& source, BatchOrder order, int64_t depth);
  ~BatchLoader();
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;

  Batch next();
  int64_t batches_per_epoch() const { return batches_per_epoch_; }

 private:
  Batch make();
  void work();

  const DataSource& source_;
  BatchOrder order_;
  int64_t depth_, batches_per_epoch_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> ready_;
  std::exception_ptr failure_;
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace mezzo::runtime
