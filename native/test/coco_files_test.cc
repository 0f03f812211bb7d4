#include "core/metrics/coco_files.h"

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/thread_pool.h"
#include "doctest.h"
#include "text_source.h"

using namespace perception;

namespace {

struct Loaded {
  Status status;
  CocoDataset data;
};

Loaded load(const std::string& truth, const std::optional<std::string>& results = std::nullopt,
            const CocoLimits& limits = {}) {
  Loaded loaded;
  TextSource truth_source(truth), results_source(results ? std::string_view(*results) : "");
  std::optional<CocoSource> found;
  if (results) found = CocoSource{&results_source, "detections"};
  loaded.status = read_coco({&truth_source, "groundTruth"}, found, limits, loaded.data);
  return loaded;
}

std::string truth_of(const std::string& images, const std::string& annotations,
                     const std::string& categories = R"({"id":1,"name":"cat"},{"id":7,"name":"dog"})") {
  return R"({"images":[)" + images + R"(],"annotations":[)" + annotations + R"(],"categories":[)" +
         categories + "]}";
}

const char kImages[] =
    R"({"id":9,"file_name":"nine.png","width":640,"height":480},{"id":4},{"id":5,"file_name":null})";

// "kind x count: example; example" of all problems.
std::vector<std::string> told(const CocoDataset& data) {
  std::vector<std::string> result;
  for (const CocoProblem& problem : data.problems) {
    std::string text = problem.kind + " x " + std::to_string(problem.count) + ":";
    for (const std::string& example : problem.examples) text += " " + example + ";";
    result.push_back(text);
  }
  return result;
}

template <class T>
std::vector<T> list(std::initializer_list<T> values) {
  return values;
}

}  // namespace

TEST_CASE("COCO: images by id, records in the order of the file within each") {
  const std::string truth =
      truth_of(kImages,
               R"({"id":3,"image_id":9,"category_id":7,"bbox":[1,2,3,4],"area":5.5,"iscrowd":1},
         {"id":1,"image_id":4,"category_id":1,"bbox":[0,0,2,3],"segmentation":[[1.5,2.5,3.25,4]],"score":9},
         {"bbox":[5,6,7,8],"iscrowd":false,"category_id":1.0,"image_id":9e0,"id":-2,"area":0})");
  const std::string results =
      R"([{"image_id":9,"category_id":1,"bbox":[1,1,1,1],"score":0.5,"area":99},
          {"score":-0.25,"image_id":4,"bbox":[-2.5,3,4,5e-1],"category_id":7},
          {"image_id":9,"category_id":7,"bbox":[3,3,3,3],"score":0.5,"segmentation":{"counts":"x","size":[1,2]}}])";
  for (const size_t buffer : {size_t{1}, size_t{7}, size_t{64}, kJsonBufferBytes}) {
    const Loaded loaded = load(truth, results, {1000, buffer});
    CHECK(loaded.status.message() == "");
    const CocoDataset& data = loaded.data;
    REQUIRE(data.images.size() == 3);
    CHECK(data.images[0].id == 4);
    CHECK(data.images[1].id == 5);
    CHECK(data.images[2].id == 9);
    CHECK(data.images[2].file_name == "nine.png");
    CHECK(data.images[1].file_name == std::nullopt);
    CHECK(data.images[2].width == 640);
    CHECK(data.images[2].height == 480);
    CHECK(data.images[0].width == 0);
    REQUIRE(data.categories.size() == 2);
    CHECK(data.categories[1].id == 7);
    CHECK(data.categories[1].name == "dog");
    CHECK(data.truth.offsets == list<int32_t>({0, 1, 1, 3}));
    CHECK(data.truth.boxes == list<double>({0, 0, 2, 3, 1, 2, 3, 4, 5, 6, 7, 8}));
    CHECK(data.truth.categories == list<int32_t>({0, 1, 0}));
    CHECK(data.truth.values == list<double>({6, 5.5, 0}));
    CHECK(data.truth.crowd == list<uint8_t>({0, 1, 0}));
    REQUIRE(data.detections);
    CHECK(data.detections->offsets == list<int32_t>({0, 1, 1, 3}));
    CHECK(data.detections->boxes == list<double>({-2.5, 3, 4, 0.5, 1, 1, 1, 1, 3, 3, 3, 3}));
    CHECK(data.detections->categories == list<int32_t>({1, 0, 1}));
    CHECK(data.detections->values == list<double>({-0.25, 0.5, 0.5}));
    CHECK(data.problems.empty());
  }
}

TEST_CASE("COCO: the lists and members may come in any order; the last of equal members counts") {
  const Loaded loaded = load(
      R"({"annotations":[{"image_id":1,"image_id":2,"category_id":3,"bbox":[1],"bbox":[1,2,3,4]}],"info":{"images":[7]},
          "categories":[{"name":"a","id":3}],"licenses":[],"images":[{"id":2},{"id":1,"file_name":"a","file_name":3}]})");
  CHECK(loaded.status.message() == "");
  CHECK(loaded.data.truth.offsets == list<int32_t>({0, 0, 1}));
  CHECK(loaded.data.images[0].file_name == std::nullopt);
  CHECK(loaded.data.problems.empty());
  CHECK(!loaded.data.detections);
}

TEST_CASE("COCO: empty lists are fine") {
  const Loaded loaded = load(truth_of("", "", ""), "[]");
  CHECK(loaded.status.message() == "");
  CHECK(loaded.data.truth.offsets == list<int32_t>({0}));
  CHECK(loaded.data.detections->offsets == list<int32_t>({0}));
  CHECK(told(load(truth_of("", "", ""), R"([{"image_id":1,"category_id":1,"bbox":[0,0,1,1],"score":1}])")
                 .data) ==
        list<std::string>({"detections of unknown images x 1: image_id 1 (detection 0);"}));
}

TEST_CASE("COCO: what cannot be used is left out, counted and named") {
  const std::string truth = truth_of(std::string(kImages) + R"(,{"id":"a"},{},7,{"id":1.5})",
                                     R"({"image_id":4,"category_id":1,"bbox":[0,0,1,1]},
         {"image_id":3,"category_id":1,"bbox":[0,0,1,1]},
         {"image_id":"4","category_id":1,"bbox":[0,0,1,1]},
         {"category_id":1,"bbox":[0,0,1,1]},
         {"image_id":4,"category_id":2,"bbox":[0,0,1,1]},
         {"image_id":4,"category_id":null,"bbox":[0,0,1,1]},
         {"image_id":4,"category_id":1},
         {"image_id":4,"category_id":1,"bbox":[0,0,1]},
         {"image_id":4,"category_id":1,"bbox":[0,0,1,-1]},
         {"image_id":4,"category_id":1,"bbox":[0,0,1,1,1]},
         {"image_id":4,"category_id":1,"bbox":[0,0,"1",1]},
         {"image_id":4,"category_id":1,"bbox":[0,NaN,1,1]},
         {"image_id":4,"category_id":1,"bbox":[0,0,1e200,1e200]},
         {"image_id":4,"category_id":1,"bbox":[0,0,1,1],"area":-1},
         {"image_id":4,"category_id":1,"bbox":[0,0,1,1],"area":null},
         {"image_id":4,"category_id":1,"bbox":[0,0,1,1],"iscrowd":2},
         {"image_id":4,"category_id":1,"bbox":[0,0,1,1],"iscrowd":"1"},
         [1], null,
         {"image_id":9,"category_id":7,"bbox":[0,0,1,1]})",
                                     R"({"id":1},{"id":7},{"name":"x"})");
  const std::string results =
      R"([{"image_id":9007199254740992,"category_id":1,"bbox":[0,0,1,1],"score":1},
          {"image_id":42,"category_id":1,"bbox":[0,0,1,1],"score":1},
          {"image_id":4,"category_id":91,"bbox":[0,0,1,1],"score":1},
          {"image_id":4,"category_id":1,"bbox":"0123456789012345678901234567890123456789012","score":1},
          {"image_id":4,"category_id":1,"bbox":{},"score":1},
          {"image_id":4,"category_id":1,"bbox":[0,0,1,1],"score":"0.9"},
          {"image_id":4,"category_id":1,"bbox":[0,0,1,1],"score":Infinity},
          {"image_id":4,"category_id":1,"bbox":[0,0,1,1],"score":true},
          {"image_id":4,"category_id":1,"bbox":[0,0,1,1]},
          {"image_id":4,"category_id":1,"bbox":[0,0,1,1],"score":1e999},
          {"image_id":4,"category_id":1,"bbox":[0,0,1,1],"score":null},
          {"image_id":4,"category_id":1,"bbox":[0,0,1,1],"score":0}])";
  const Loaded loaded = load(truth, results);
  CHECK(loaded.status.message() == "");
  CHECK(told(loaded.data) ==
        list<std::string>({"images without a usable id x 4: id \"a\" (image 3); id missing (image 4); "
                           "received 7 (image 5); id "
                           "1.5 (image 6);",
                           "annotations of unknown images x 3: image_id \"4\" (annotation 2); image_id "
                           "missing (annotation 3); "
                           "image_id 3 (annotation 1);",
                           "annotations of unknown categories x 2: category_id null (annotation 5); "
                           "category_id 2 (annotation 4);",
                           "annotations without a usable bbox x 6: bbox missing (annotation 6); bbox of 3 "
                           "numbers (annotation 7); "
                           "bbox [0, 0, 1, -1] (annotation 8); bbox of 5 numbers (annotation 9); bbox with "
                           "something that is no "
                           "number (annotation 10);",
                           "annotations without a usable area x 3: area inf (annotation 12); area -1 "
                           "(annotation 13); area null "
                           "(annotation 14);",
                           "annotations without a usable iscrowd x 2: iscrowd 2 (annotation 15); iscrowd "
                           "\"1\" (annotation 16);",
                           "annotations that are no objects x 2: received a list (annotation 17); received "
                           "null (annotation 18);",
                           "categories without a usable id x 1: id missing (category 2);",
                           "detections of unknown images x 2: image_id 9007199254740992 (detection 0); "
                           "image_id 42 (detection 1);",
                           "detections without a usable bbox x 2: bbox "
                           "\"0123456789012345678901234567890123456789…\" (detection "
                           "3); bbox an object (detection 4);",
                           "detections without a usable score x 6: score \"0.9\" (detection 5); score inf "
                           "(detection 6); score "
                           "true (detection 7); score missing (detection 8); score inf (detection 9);",
                           "detections of unknown categories x 1: category_id 91 (detection 2);"}));
  CHECK(loaded.data.truth.offsets == list<int32_t>({0, 1, 1, 2}));
  CHECK(loaded.data.detections->offsets == list<int32_t>({0, 1, 1, 1}));
  CHECK(loaded.data.detections->values == list<double>({0}));
}

TEST_CASE("COCO: an id that is there twice is an error that names it") {
  const auto message = [](const std::string& truth) { return load(truth).status.message(); };
  CHECK(message(truth_of(R"({"id":3},{"id":8},{"id":8},{"id":8},{"id":9},{"id":9})", "")) ==
        "groundTruth: images: expected every id once, received the id 8 3 times");
  CHECK(message(truth_of(kImages, "", R"({"id":2},{"id":1},{"id":2})")) ==
        "groundTruth: categories: expected every id once, received the id 2 2 times");
  const std::string one = R"("image_id":4,"category_id":1,"bbox":[0,0,1,1]})";
  CHECK(message(truth_of(kImages, R"({"id":5,)" + one + R"(,{"id":4,)" + one + R"(,{"id":5,)" + one)) ==
        "groundTruth: annotations: expected every id once, received the id 5 2 times");
  // Where there is none, none is needed.
  CHECK(message(truth_of(kImages,
                         "{" + one + ",{" + one + R"(,{"id":"x",)" + one + R"(,{"id":"x",)" + one)) == "");
}

TEST_CASE("COCO: other files are refused, with what they are") {
  const auto message = [](const std::string& truth,
                          const std::optional<std::string>& results = std::nullopt) {
    const Status status = load(truth, results).status;
    CHECK(status.code() == Code::kInvalidInput);
    return status.message();
  };
  const std::string expected =
      "groundTruth: expected COCO's ground truth, {\"images\": [...], \"annotations\": [...], "
      "\"categories\": "
      "[...]}, received ";
  CHECK(message("[]") == expected + "a list; a list of results is the other file, the detections");
  CHECK(message("7") == expected + "a number");
  CHECK(message("") == "groundTruth: expected a JSON value, received nothing: it is empty");
  CHECK(message(R"({"images":[],"annotations":[]})") ==
        "groundTruth: expected COCO's ground truth with the lists \"images\", \"annotations\" and "
        "\"categories\", "
        "received one without \"categories\"");
  CHECK(message(R"({"images":{}})") ==
        "groundTruth: expected \"images\" to be a list, received an object at byte 10");
  CHECK(message(R"({"images":[],"images":[]})") ==
        "groundTruth: expected \"images\" once, received it again at byte 22");
  CHECK(message(truth_of("", "") + "x") ==
        "groundTruth: expected the end of the text, received 'x' at byte 89");
  const std::string truth = truth_of(kImages, "");
  const std::string results =
      "detections: expected COCO's results, a list of {\"image_id\", \"category_id\", \"bbox\", \"score\"}, "
      "received ";
  CHECK(message(truth, truth) == results + "an object; a ground truth is the other file");
  CHECK(message(truth, "\"x\"") == results + "a string");
  CHECK(message(truth, "[{\"image_id\":4") ==
        "detections: it ends at byte 14, in the middle of an object: it is not complete");
  CHECK(message(truth, "[]]") == "detections: expected the end of the text, received ']' at byte 2");
  // The ground truth's error comes first.
  CHECK(message("{", "{").substr(0, 11) == "groundTruth");
}

TEST_CASE("COCO: too many records are refused") {
  const Loaded images = load(truth_of(kImages, ""), std::nullopt, {2, 100});
  CHECK(images.status.code() == Code::kTooLarge);
  CHECK(images.status.message() ==
        "groundTruth: expected at most 2 images, received more; split the file by images");
  CHECK(load(truth_of(kImages, ""), "[1,2,3]", {3, 100}).status.message() == "");
  CHECK(load(truth_of(kImages, ""), "[1,2,3,4]", {3, 100}).status.code() == Code::kTooLarge);
}

TEST_CASE("COCO: ids of every kind are found, in batches on several threads") {
  std::mt19937_64 random(3);
  const int threads = thread_count();
  for (int round = 0; round < 6; ++round) {
    set_thread_count(1 + round % 4);
    // Far apart, crowded, negative, and as large as may be.
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < 300; ++i) {
      const auto r = static_cast<int64_t>(random() % 1000);
      const int64_t candidates[] = {
          i, i * 1000003, (int64_t{1} << 53) - 1 - i, -i * 7, i < 299 ? i : (int64_t{1} << 52), i * 1000 + r};
      ids.push_back(candidates[round]);
    }
    std::shuffle(ids.begin(), ids.end(), random);
    std::string images, results;
    for (const int64_t id : ids)
      images += (images.empty() ? "" : ",") + ("{\"id\":" + std::to_string(id)) + "}";
    const size_t count = 40000;
    for (size_t k = 0; k < count; ++k) {
      const int64_t id = ids[random() % ids.size()] + (random() % 8 == 0 ? 500 : 0);
      results += (results.empty() ? "[" : ",") + ("{\"image_id\":" + std::to_string(id)) +
                 R"(,"category_id":7,"score":0.5,"bbox":[)" + std::to_string(k) + "," + std::to_string(id) +
                 ",1,1]}";
    }
    const CocoDataset data = load(truth_of(images, ""), results + "]").data;
    REQUIRE(data.detections);
    const CocoObjects& found = *data.detections;
    REQUIRE(found.offsets.size() == 301);
    int64_t known = 0;
    for (size_t i = 0; i < 300; ++i) {
      if (i > 0) CHECK(data.images[i - 1].id < data.images[i].id);
      for (auto d = static_cast<size_t>(found.offsets[i]); d < static_cast<size_t>(found.offsets[i + 1]);
           ++d, ++known) {
        CHECK(std::stod(std::to_string(static_cast<int64_t>(data.images[i].id))) == found.boxes[4 * d + 1]);
        if (d > static_cast<size_t>(found.offsets[i])) CHECK(found.boxes[4 * d - 4] < found.boxes[4 * d]);
      }
    }
    const int64_t unknown = data.problems.empty() ? 0 : data.problems[0].count;
    CHECK(known + unknown == static_cast<int64_t>(count));
    CHECK(known > static_cast<int64_t>(count) / 2);
  }
  set_thread_count(threads);
}

TEST_CASE("COCO: no damaged file does more than fail") {
  const std::string truth =
      truth_of(kImages, R"({"id":3,"image_id":9,"category_id":7,"bbox":[1,2,3,4],"area":5.5,"iscrowd":1},
         {"id":1,"image_id":4,"category_id":1,"bbox":[0,0,2,3],"segmentation":[[1.5,2.5,3.25,4,1,2,3,4,5,6,7,8,9,10]]})");
  const std::string results =
      R"([{"image_id":9,"category_id":1,"bbox":[1,1,1,1],"score":0.5},{"image_id":4}])";
  std::mt19937_64 random(5);
  const std::string bytes = "{}[]\",:0123456789.eE+-\\u \n\tntfaNI\x80\xff\x01";
  int failed = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string texts[] = {truth, results};
    for (std::string& text : texts) {
      for (uint64_t edits = random() % 3; edits-- > 0;) {
        const size_t at = random() % text.size();
        const char byte = bytes[random() % bytes.size()];
        switch (random() % 4) {
          case 0:
            text[at] = byte;
            break;
          case 1:
            text.insert(at, 1, byte);
            break;
          case 2:
            text.erase(at, 1 + random() % 5);
            break;
          default:
            text.insert(at, text.substr(random() % text.size(), random() % 30));
        }
        if (text.empty()) text = " ";
      }
    }
    const Loaded loaded = load(texts[0], texts[1], {1000, 1 + random() % 100});
    if (!loaded.status.ok()) {
      ++failed;
      CHECK(loaded.status.code() == Code::kInvalidInput);
    } else {
      CHECK(loaded.data.truth.offsets.size() == loaded.data.images.size() + 1);
    }
  }
  CHECK(failed > 1000);
  CHECK(failed < 3900);
}

TEST_CASE("COCO: files that cannot be read") {
  CocoDataset data;
  CHECK(load_coco("/nowhere/x.json", std::nullopt, data).message().substr(0, 69) ==
        "groundTruth \"/nowhere/x.json\": expected a file that can be opened (No");
  CHECK(load_coco("/", std::nullopt, data).message() ==
        "groundTruth \"/\": expected a file, received a folder");
}
