#include "http/resolver.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "http/test_loop.hpp"

namespace orchestra::http {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

Resolution address(const char* text) { return {{*NetworkAddress::parse(text)}, ""}; }

std::vector<std::string> texts(const Resolution& resolution) {
  std::vector<std::string> found;
  for (const NetworkAddress& each : resolution.addresses) found.push_back(each.text());
  return found;
}

// Names of the test; "hang..." does not answer before let_go(). Shared with the threads, which may outlive a test's
// body.
class Names {
 public:
  Resolution resolve(const std::string& host) {
    std::unique_lock lock(mutex_);
    ++asked_[host];
    if (host.starts_with("hang")) {
      ++hanging_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return let_go_; });
      --hanging_;
      changed_.notify_all();
    }
    if (host == "unknown.test") return {{}, "Name or service not known"};
    return address("192.0.2.7");
  }
  int asked(const std::string& host) {
    const std::lock_guard lock(mutex_);
    return asked_[host];
  }
  void let_go() {
    std::unique_lock lock(mutex_);
    let_go_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, 10s, [&] { return hanging_ == 0; });
  }
  int hanging() {
    const std::lock_guard lock(mutex_);
    return hanging_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> asked_;  // all guarded by mutex_
  int hanging_ = 0;
  bool let_go_ = false;
};

class ResolverTest : public testing::Test {
 protected:
  ~ResolverTest() override { names->let_go(); }

  Resolver::Ticket ask(const std::string& host, std::optional<Resolution>& into) {
    return resolver->ask(host, [&into](const Resolution& resolution) { into = resolution; });
  }
  Resolution answer(const std::string& host) {
    std::optional<Resolution> found;
    ask(host, found);
    EXPECT_FALSE(found.has_value()) << "called back from inside";
    EXPECT_TRUE(loop.run_until([&] { return found.has_value(); }));
    return found.value_or(Resolution{});
  }

  std::shared_ptr<Names> names = std::make_shared<Names>();
  TestLoop loop;
  std::optional<Resolver> resolver{std::in_place, loop.loop(),
                                   [shared = names](const std::string& host) { return shared->resolve(host); }};
};

TEST_F(ResolverTest, needs_no_thread_for_numbers_and_localhost) {
  EXPECT_THAT(texts(*resolver->known("127.0.0.1")), ElementsAre("127.0.0.1"));
  EXPECT_THAT(texts(*resolver->known("::1")), ElementsAre("::1"));
  EXPECT_THAT(texts(*resolver->known("localhost")), ElementsAre("::1", "127.0.0.1"));
  EXPECT_THAT(texts(*resolver->known("a.localhost")), ElementsAre("::1", "127.0.0.1"));
  EXPECT_EQ(resolver->known("models.test"), nullptr);
  EXPECT_EQ(resolver->known("notlocalhost"), nullptr);
}

TEST_F(ResolverTest, asks_once_and_keeps_the_answer) {
  std::optional<Resolution> first;
  std::optional<Resolution> second;
  ask("models.test", first);
  ask("models.test", second);
  ASSERT_TRUE(loop.run_until([&] { return first && second; }));
  EXPECT_THAT(texts(*first), ElementsAre("192.0.2.7"));
  EXPECT_THAT(texts(*second), ElementsAre("192.0.2.7"));
  ASSERT_NE(resolver->known("models.test"), nullptr);
  EXPECT_THAT(texts(*resolver->known("models.test")), ElementsAre("192.0.2.7"));
  EXPECT_EQ(names->asked("models.test"), 1);
  resolver->forget("models.test");
  EXPECT_EQ(resolver->known("models.test"), nullptr);
}

TEST_F(ResolverTest, keeps_no_failure) {
  EXPECT_EQ(answer("unknown.test").fault, "Name or service not known");
  EXPECT_EQ(answer("unknown.test").fault, "Name or service not known");
  EXPECT_EQ(names->asked("unknown.test"), 2);
}

TEST_F(ResolverTest, names_that_hang_hold_up_no_other) {
  std::vector<std::optional<Resolution>> stuck(Resolver::kMostThreads - 1);
  for (std::size_t i = 0; i < stuck.size(); ++i) ask("hang" + std::to_string(i), stuck[i]);
  for (int i = 0; i < 20; ++i) EXPECT_THAT(texts(answer("host" + std::to_string(i))), ElementsAre("192.0.2.7"));
  EXPECT_EQ(names->hanging(), static_cast<int>(stuck.size()));
  names->let_go();
  ASSERT_TRUE(loop.run_until(
      [&] { return std::all_of(stuck.begin(), stuck.end(), [](const auto& each) { return each.has_value(); }); }));
}

TEST_F(ResolverTest, waits_for_a_thread_when_all_hang) {
  std::vector<std::optional<Resolution>> stuck(Resolver::kMostThreads);
  for (std::size_t i = 0; i < stuck.size(); ++i) ask("hang" + std::to_string(i), stuck[i]);
  ASSERT_TRUE(loop.run_until([&] { return names->hanging() == static_cast<int>(stuck.size()); }));
  std::optional<Resolution> other;
  ask("models.test", other);
  loop.run_for(10ms);
  EXPECT_FALSE(other.has_value());
  names->let_go();
  ASSERT_TRUE(loop.run_until([&] { return other.has_value(); }));
}

TEST_F(ResolverTest, can_be_destroyed_while_a_name_hangs) {
  std::optional<Resolution> stuck;
  ask("hang", stuck);
  ASSERT_TRUE(loop.run_until([&] { return names->hanging() == 1; }));
  resolver.reset();
  names->let_go();
  loop.run_for(5ms);
  EXPECT_FALSE(stuck.has_value());
}

// Whether the answer is posted before or after the resolver goes is the threads' choice; it must not matter.
TEST_F(ResolverTest, can_be_destroyed_before_an_answer_is_handed_over) {
  for (int i = 0; i < 50; ++i) {
    TestLoop own_loop;
    Resolver own(own_loop.loop(), [shared = names](const std::string& host) { return shared->resolve(host); });
    own.ask("models.test", [](const Resolution&) { ADD_FAILURE() << "nobody is there"; });
    while (i % 2 == 0 && names->asked("models.test") <= i / 2) std::this_thread::yield();
  }
  EXPECT_GE(names->asked("models.test"), 25);
}

TEST_F(ResolverTest, tells_nothing_after_a_cancel) {
  std::optional<Resolution> cancelled;
  std::optional<Resolution> other;
  const Resolver::Ticket ticket = ask("hang", cancelled);
  ask("hang", other);
  resolver->cancel(ticket);
  names->let_go();
  ASSERT_TRUE(loop.run_until([&] { return other.has_value(); }));
  EXPECT_FALSE(cancelled.has_value());
}

TEST_F(ResolverTest, one_who_is_told_can_cancel_another) {
  std::optional<Resolution> second;
  Resolver::Ticket ticket = 0;
  bool told = false;
  resolver->ask("models.test", [&](const Resolution&) {
    told = true;
    resolver->cancel(ticket);
  });
  ticket = ask("models.test", second);
  ASSERT_TRUE(loop.run_until([&] { return told; }));
  loop.run_for(1ms);
  EXPECT_FALSE(second.has_value());
}

TEST(ResolveBySystem, finds_an_address_in_numbers_and_says_why_there_is_none) {
  EXPECT_THAT(texts(resolve_by_system("127.0.0.1")), ElementsAre("127.0.0.1"));
  const Resolution none = resolve_by_system("no host has blanks");
  EXPECT_TRUE(none.addresses.empty());
  EXPECT_NE(none.fault, "");
}

}  // namespace
}  // namespace orchestra::http
