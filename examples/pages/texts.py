"""What the example pages say; written for this project, in the public domain (CC0)."""

# Russian letters look like Latin ones; here they are meant.
# ruff: noqa: RUF001

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Title:
    text: str


@dataclass(frozen=True, slots=True)
class Lines:
    """Printed line by line, as an address is."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prose:
    """Wrapped to the width of its column."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Cells at fixed places; the last column is set flush right."""

    rows: tuple[tuple[str, ...], ...]
    places: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """Two columns of prose, read one after the other."""

    left: tuple[Title | Prose, ...]
    right: tuple[Title | Prose, ...]


Part = Title | Lines | Prose | Table | Columns

LETTER: tuple[Part, ...] = (
    Lines(("Hartwell Measuring Office", "17 Quay Street, Bristol", "office@hartwell.example")),
    Lines(("Bristol, 14 March 2025",)),
    Lines(("Northern Archive Trust", "Ms Eleanor Pryce", "4 Castle Terrace, Durham")),
    Title("Invoice 2025-0317: start times of your scanning service"),
    Prose("Dear Ms Pryce,"),
    Prose(
        "thank you for letting us watch your document service for the whole of February. Between "
        "the first and the twenty-eighth we recorded 412 starts on nine machines. The typical "
        "start took 41 seconds, and nineteen starts in every twenty were over within 68 seconds. "
        "The longest took almost six minutes; on that morning the model had to be copied from the "
        "storage room on the other side of the river, because the local copy had been removed to "
        "make space."
    ),
    Prose(
        "Your old rule gave every start ninety minutes before anybody was called. It never failed "
        "a healthy machine, but it also hid a broken one for an hour and a half on 11 February. "
        "We suggest a limit of four minutes for machines that hold a copy of the model and of "
        "twelve minutes for those that do not. Had these limits been in force, the fault would "
        "have been noticed before the reading room opened, and no healthy start would have been "
        "cut short."
    ),
    Prose("Our work is charged as agreed in the letter of 20 January:"),
    Table(
        rows=(
            ("Item", "Days", "Rate", "Amount"),
            ("Recording of starts, nine machines", "6", "410.00", "2,460.00"),
            ("Analysis and report", "3", "480.00", "1,440.00"),
            ("Travel to Durham and back", "1", "186.50", "186.50"),
            ("Total in pounds", "", "", "4,086.50"),
        ),
        places=(0.0, 0.56, 0.68, 1.0),
    ),
    Prose(
        "Please pay within thirty days to the account you know. The full record of all starts is "
        "enclosed on paper, with one page for each machine, and we will gladly explain any line of "
        "it. If you would like the limits to follow your machines as they change, we can repeat "
        "the measurement every quarter at half the rate."
    ),
    Lines(("With kind regards,", "Thomas Hartwell")),
)

ARTICLE: tuple[Part, ...] = (
    Title("Сколько ждать запуска"),
    Lines(("Заметки о службе распознавания документов",)),
    Prose(
        "Когда в читальном зале областного архива поставили программу для распознавания старых "
        "описей, первый вопрос задали не о качестве, а о времени. Утром оператор включал машину и "
        "не знал, загружается ли модель или уже что-то сломалось. Экран в обоих случаях был "
        "одинаково пуст, и ждать приходилось наугад."
    ),
    Prose(
        "Решение казалось простым: назначить срок, после которого машину перезапускают. Выбрали "
        "полтора часа, чтобы не ошибиться. За зиму этот срок ни разу не помешал исправной машине, "
        "но однажды спрятал настоящую поломку до самого обеда. Сорок человек ушли домой без копий, "
        "хотя причину можно было заметить через пять минут."
    ),
    Title("Что показали измерения"),
    Prose(
        "В феврале мы записали четыреста двенадцать запусков на девяти машинах. Обычный запуск "
        "занимал сорок одну секунду, и почти все они укладывались в минуту с небольшим. Самый "
        "долгий длился шесть минут: файлы модели пришлось копировать по сети из соседнего здания, "
        "потому что на диске не хватило места."
    ),
    Prose(
        "Оказалось, что машины делятся на два рода. Там, где копия модели лежит рядом, время почти "
        "не меняется от запуска к запуску. Там, где её нет, всё зависит от сети, и разница между "
        "утром и вечером бывает тройной. Одного срока для тех и других быть не может: он либо "
        "слишком щедрый, либо слишком строгий."
    ),
    Title("Правило, которое осталось"),
    Prose(
        "Теперь срок считают по собственным записям каждой машины. Берут среднее, прибавляют запас "
        "на разброс и округляют вверх. Пока записей мало, запас велик; с каждым новым запуском он "
        "становится меньше. Если диск заменили или модель обновили, счёт начинается заново, и об "
        "этом честно сказано на экране."
    ),
    Prose(
        "С тех пор прошло полгода. Ни одна исправная машина не была остановлена, а две настоящие "
        "поломки заметили за четыре минуты. Заведующая залом говорит, что лучше всего работает не "
        "сама формула, а то, что рядом с числом всегда написано, откуда оно взялось."
    ),
)

REPORT: tuple[tuple[Part, ...], ...] = (
    (
        Title("How long does a start take?"),
        Lines(("Report to the working group on reading services", "Second edition, June 2025")),
        Title("1. The question"),
        Prose(
            "A reading service is a large program. It copies a model of two gigabytes from a disk "
            "or a network, prepares it, reads a first page to warm up and only then opens its "
            "door. While it does so it looks exactly like a program that will never open its door. "
            "Whoever supervises it has to choose a moment at which patience ends."
        ),
        Prose(
            "Chosen too early, healthy services are stopped and begin again, which makes the disk "
            "and the network busier and the next start slower still. Chosen too late, a broken "
            "service stays broken for hours. Both mistakes were found in the records of every "
            "installation that took part."
        ),
        Title("2. What was recorded"),
        Prose(
            "Each start was divided into phases, and each phase was timed by the service itself. "
            "The table gives the typical time and the time within which nineteen of twenty starts "
            "were done, both in seconds, for services that kept a copy of the model."
        ),
        Table(
            rows=(
                ("Phase", "Typical", "19 of 20"),
                ("Import of libraries", "3.1", "5.8"),
                ("Loading the layout model", "1.4", "2.2"),
                ("Loading the language model", "31.6", "52.0"),
                ("Reading the first page", "5.9", "8.3"),
                ("Whole start", "42.0", "66.5"),
            ),
            places=(0.0, 0.62, 1.0),
        ),
        Prose(
            "Two things are worth noting. The first is that loading the language model takes three "
            "quarters of the time, so that nothing else needs to be known with care. The second is "
            "that the slow starts are not spread evenly: they come together, on mornings when many "
            "services begin at once and share one disk."
        ),
    ),
    (
        Title("3. What follows from it"),
        Columns(
            left=(
                Prose(
                    "A limit has to be learned where it is used. The same service took forty "
                    "seconds in one building and four minutes in another, and neither number says "
                    "anything about the third."
                ),
                Prose(
                    "A limit that is learned must also be able to grow. If a start is stopped "
                    "because its time was up, the record does not show how long it would have "
                    "taken, only that it was longer. Leaving such starts out of the record makes "
                    "the next limit shorter, and the next start fails as well."
                ),
                Prose(
                    "For the same reason a first limit should be generous. Three hundred and sixty "
                    "seconds cost little when nothing is wrong, and after ten good starts the "
                    "limit is a third of that."
                ),
            ),
            right=(
                Prose(
                    "The record should be kept for each kind of disk, each kind of machine and "
                    "each version of the model. When one of them changes, the old numbers are a "
                    "guess and should be named as one."
                ),
                Prose(
                    "Finally, the reason for a limit belongs beside it. People trusted the new "
                    "limits once they could read, in one line, how many starts stood behind them "
                    "and which of those had been the slowest."
                ),
                Prose(
                    "We thank the nine installations that kept their records for us, and above all "
                    "the operators who wrote down what they did on the mornings when nothing "
                    "worked."
                ),
            ),
        ),
    ),
)
