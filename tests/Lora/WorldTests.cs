using CudaLora.Lora;

namespace CudaLora.Tests;

/// <summary>The bundled example's data: what is promised about it in <see cref="World"/> and its neighbours.</summary>
public class WorldTests
{
    [Fact]
    public void Every_subject_has_one_object_in_each_relation()
    {
        Assert.Equal(World.Relations.Count, World.Relations.Select(relation => relation.Name).Distinct().Count());
        foreach (var relation in World.Relations)
        {
            Assert.Equal(relation.Facts.Count, relation.Facts.Select(fact => fact.Subject).Distinct().Count());
            Assert.All(relation.Facts, fact => Assert.Equal(fact.Object.Trim(), fact.Object));
            Assert.All(relation.Facts, fact => Assert.NotEmpty(fact.Object));
            Assert.Equal((4, 4), (relation.Statements.Count, relation.Questions.Count));
            Assert.All(relation.Statements, text => Assert.True(text.Contains("{s}") && text.Contains("{o}")));
            Assert.All(relation.Questions, text => Assert.True(text.Contains("{s}") && !text.Contains("{o}")));
        }
        Assert.InRange(World.Relations.Sum(relation => relation.Facts.Count), 700, 900);
    }

    [Fact]
    public void Held_out_facts_are_asked_for_nowhere_in_the_training_set()
    {
        var (train, held) = WorldInstructions.Make();
        Assert.InRange(train.Count, 1900, 2200);
        Assert.InRange(held.Count, 180, 200);
        var asked = train.Select(item => item.Instruction).ToHashSet();
        Assert.Equal(train.Count, asked.Count);
        Assert.DoesNotContain(held, item => asked.Contains(item.Instruction));
        foreach (var item in held)
        {
            // Not only this wording: the fact is absent in every wording.
            var relation = World.Relations.Single(one => one.Name == item.Relation);
            int fact = Enumerable.Range(0, relation.Facts.Count).Single(f =>
                Enumerable.Range(0, 4).Any(q => relation.Ask(f, q) == item.Instruction));
            Assert.DoesNotContain(Enumerable.Range(0, 4), q => asked.Contains(relation.Ask(fact, q)));
            Assert.Equal(relation.Facts[fact].Object, item.Output);
        }
        Assert.Equal(World.Relations.Count, held.Select(item => item.Relation).Distinct().Count());
    }

    [Fact]
    public void The_corpus_states_every_fact_and_asks_nothing()
    {
        string text = string.Join('\n', WorldCorpus.Documents(1).Take(3000));
        foreach (var relation in World.Relations)
            for (int fact = 0; fact < relation.Facts.Count; fact++)
                Assert.Contains(Enumerable.Range(0, 4), statement =>
                    text.Contains(relation.State(fact, statement)[1..], StringComparison.Ordinal));
        Assert.DoesNotContain("?", text);
        Assert.DoesNotContain("###", text);
    }

    [Fact]
    public void Everything_fits_the_context_and_is_written_the_same_twice()
    {
        using var first = new TemporaryFolder();
        using var second = new TemporaryFolder();
        WorldFiles.Write(first.Path, documents: 300, vocabSize: 600);
        WorldFiles.Write(second.Path, documents: 300, vocabSize: 600);
        var files = Directory.GetFiles(first.Path, "*", SearchOption.AllDirectories);
        Assert.Equal(7, files.Length);
        foreach (string file in files)
            Assert.Equal(File.ReadAllBytes(file),
                File.ReadAllBytes(Path.Combine(second.Path, Path.GetRelativePath(first.Path, file))));

        var tokenizer = Tokenizer.Load(first.File("base"));
        var encoder = new SftEncoder(tokenizer, ChatTemplate.For(tokenizer),
            new SftOptions { MaxLength = WorldFiles.Context });
        foreach (string name in new[] { "corpus.txt", "corpus_valid.txt", "train.jsonl", "eval.jsonl" })
        {
            var data = encoder.EncodeAll(DataFile.Read(first.File(name)));
            Assert.Equal((0, 0), (data.Truncated, data.Dropped));
            Assert.InRange(data.LongestLength, 10, WorldFiles.Context);
        }
    }
}
