from geoset.reports.tables import markdown_table, percent


def test_by_hand():
    table = markdown_table(["class", "IoU"], [["wall", percent(0.1234)], ["a|b", percent(None)]])
    assert table == "| class | IoU |\n| --- | ---: |\n| wall | 12.3 |\n| a\\|b | - |"
